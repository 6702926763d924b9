package filestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/s3"
)

// ErrUnsafe is the error of [Store.Probe] for a store that breaks a promise on which
// servers depend when they share it.
var ErrUnsafe = errors.New("store is not safe for servers that share it")

// brokenPromise is the error of a check that has failed. Other errors say that the store could
// not be asked.
type brokenPromise string

func (e brokenPromise) Error() string { return string(e) }

func broken(format string, args ...any) error { return brokenPromise(fmt.Sprintf(format, args...)) }

// refused makes a brokenPromise of an answer by which the store says that it cannot do
// something at all, and not that these credentials may not, or not now.
func refused(err error) error {
	var e *s3.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.StatusCode {
	case 0, 401, 403, 404, 408, 429, 500, 502, 503, 504:
		return err
	}
	return broken("%s", e.Reason())
}

type probe struct {
	s  *Store
	at string // prefix of its keys
}

const probers = 8

func (p *probe) creates(ctx context.Context) error {
	var won atomic.Int64
	var winner atomic.Value
	errs := make([]error, probers)
	var wg sync.WaitGroup
	for i := range probers {
		wg.Go(func() {
			body := fmt.Sprint(i, " ", rand.Text())
			_, _, err := p.s.b.put(ctx, p.at+"create", []byte(body), condition{absent: true}, "")
			switch {
			case err == nil:
				won.Add(1)
				winner.Store(body)
			case !isLost(err) && !isConflict(err):
				errs[i] = refused(err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if n := won.Load(); n != 1 {
		return broken("%d succeeded", n)
	}
	got, _, err := p.s.b.get(ctx, p.at+"create")
	if err == nil && string(got) != winner.Load() {
		err = broken("the object is that of a request that was refused")
	}
	return err
}

func (p *probe) replaces(ctx context.Context) error {
	key := p.at + "replace"
	first, _, err := p.s.b.put(ctx, key, []byte("one"), condition{}, "")
	if err != nil {
		return err
	}
	if first == "" {
		return broken("the store gives objects no ETags")
	}
	if _, _, err := p.s.b.put(ctx, key, []byte("two"), condition{etag: first}, ""); err != nil {
		if isLost(err) {
			return broken("it has not changed, and was not replaced")
		}
		return refused(err)
	}
	switch _, _, err := p.s.b.put(ctx, key, []byte("three"), condition{etag: first}, ""); {
	case err == nil:
		return broken("it was replaced")
	case !isLost(err):
		return refused(err)
	}
	switch _, _, err := p.s.b.put(ctx, p.at+"none", []byte("four"), condition{etag: first}, ""); {
	case err == nil:
		return broken("an object that does not exist was created")
	case !isLost(err) && !isGone(err):
		return refused(err)
	}
	got, _, err := p.s.b.get(ctx, key)
	if err == nil && string(got) != "two" {
		err = broken("the store has %q", got)
	}
	return err
}

// probePart is the smallest size of a part that all stores accept.
const probePart = 5 << 20

func (p *probe) assembles(ctx context.Context) error {
	c := &content{s: p.s, id: rand.Text(), ctx: ctx}
	key, source := p.at+"assemble", p.at+"part"
	data := make([]byte, probePart)
	for i := range data {
		data[i] = byte(i >> 12)
	}
	if _, _, err := p.s.b.put(ctx, source, data, condition{}, ""); err != nil {
		return err
	}
	upload, err := c.begin(key)
	if err != nil {
		return err
	}
	list := []minio.CompletePart{{PartNumber: 1}, {PartNumber: 3}, {PartNumber: 7}}
	err = p.parts(ctx, c, key, source, upload, list)
	if err != nil {
		_, aerr := p.s.b.abort(ctx, key, upload)
		return errors.Join(refused(err), aerr)
	}
	o, err := p.s.b.head(ctx, key)
	if err != nil {
		return err
	}
	if want := int64(2*probePart + len("end")); o.info.Size != want {
		return broken("it has %d bytes, not %d", o.info.Size, want)
	}
	if o.mark != c.id {
		return broken("its metadata is missing")
	}
	body := p.s.b.Range(ctx, key, o.info.Size, o.etag(), 0, o.info.Size)
	defer body.Close()
	got := make([]byte, probePart)
	for _, want := range [][]byte{data, data, []byte("end")} {
		if _, err := io.ReadFull(body, got[:len(want)]); err != nil {
			return err
		}
		if !bytes.Equal(got[:len(want)], want) {
			return broken("its bytes are wrong")
		}
	}
	return nil
}

// parts sends and completes the parts of the probe.
func (p *probe) parts(ctx context.Context, c *content, key, source, upload string, list []minio.CompletePart) error {
	for i := range list {
		err := p.s.b.Request(ctx, "write", key, func(ctx context.Context) (err error) {
			n := list[i].PartNumber
			if i < len(list)-1 {
				list[i], err = p.s.b.copyPart(ctx, source, key, upload, n)
				return err
			}
			got, err := p.s.b.Core.PutObjectPart(ctx, p.s.b.Name, key, upload, n, bytes.NewReader([]byte("end")), 3, minio.PutObjectPartOptions{})
			list[i].ETag = got.ETag
			return err
		})
		if err != nil {
			return err
		}
	}
	return c.complete(key, upload, list, condition{absent: true})
}

func (p *probe) completes(ctx context.Context) error {
	c := &content{s: p.s, id: rand.Text(), ctx: ctx}
	key := p.at + "complete"
	if _, _, err := p.s.b.put(ctx, key, []byte("first"), condition{}, ""); err != nil {
		return err
	}
	upload, err := c.begin(key)
	if err != nil {
		return err
	}
	part := minio.CompletePart{PartNumber: 1}
	err = p.s.b.Request(ctx, "write", key, func(ctx context.Context) error {
		got, err := p.s.b.Core.PutObjectPart(ctx, p.s.b.Name, key, upload, 1, bytes.NewReader([]byte("second")), 6, minio.PutObjectPartOptions{})
		part.ETag = got.ETag
		return err
	})
	if err == nil {
		if err = c.complete(key, upload, []minio.CompletePart{part}, condition{absent: true}); err == nil {
			return broken("it was replaced")
		}
		if isLost(err) {
			err = nil
		}
	}
	if _, aerr := p.s.b.abort(ctx, key, upload); err == nil {
		err = aerr
	}
	if err != nil {
		return refused(err)
	}
	got, _, err := p.s.b.get(ctx, key)
	if err == nil && string(got) != "first" {
		err = broken("the store has %q", got)
	}
	return err
}
