package filestore

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/weirhttp"
)

func tooLarge(most int64) error { return &http.MaxBytesError{Limit: most} }

// Finish implements [weirhttp.UploadContent].
func (c *content) Finish(to weirhttp.UploadTarget) (name string, replaced bool, err error) {
	if err := c.settle(); err != nil {
		return "", false, err
	}
	if !c.raw {
		// The state in this process's memory can be older than the one that this content
		// has saved.
		e, err := c.s.loadLive(c.ctx, c.id)
		if errors.Is(err, fs.ErrNotExist) || err == nil && e.Epoch != c.epoch {
			err = weirhttp.ErrUploadChanged
		}
		if err != nil {
			return "", false, err
		}
		c.state = e
		if p := e.Place; p != nil {
			if name, err := c.resume(p); name != "" || err != nil {
				return name, false, err
			}
		}
	}
	for name := range to.Names() {
		replaced, err = c.place(to, name)
		if err == nil {
			c.placed = name
			c.drop()
			return name, replaced, nil
		}
		if !errors.Is(err, errTaken) {
			return "", false, err
		}
	}
	return "", false, fmt.Errorf("store %s: %w", to.Name, fs.ErrExist)
}

// errTaken says that a file has the name already.
var errTaken = errors.New("the name is taken")

// resume ends an earlier attempt to give the file its name. It returns the name if that has
// succeeded.
func (c *content) resume(p *place) (string, error) {
	if p.Upload != "" {
		if _, err := c.s.abort(c.ctx, c.s.key(p.Name), p.Upload); err != nil {
			return "", fmt.Errorf("end an earlier attempt: %w", err)
		}
	}
	placed, err := c.s.isPlaced(c.ctx, c.id, p.Name)
	if err != nil || !placed {
		return "", err
	}
	c.placed = p.Name
	return p.Name, nil
}

// mostTries is how often a file is placed again after another writer has interfered.
const mostTries = 20

// place gives the file a name, unless it is taken.
func (c *content) place(to weirhttp.UploadTarget, name string) (replaced bool, err error) {
	key := c.s.key(name)
	for range mostTries {
		at, cond, err := c.look(to, name)
		if err != nil {
			return false, err
		}
		err = c.create(name, key, cond)
		if err == nil {
			return at, nil
		}
		if errors.Is(err, weirhttp.ErrUploadChanged) {
			return false, err
		}
		// The object says whether the last request had its effect.
		if placed, perr := c.s.isPlaced(c.ctx, c.id, name); perr != nil {
			return false, errors.Join(err, perr)
		} else if placed {
			return at, nil
		}
		if !isLost(err) && !isConflict(err) && !isGone(err) {
			return false, fmt.Errorf("store %s: %w", c.s.b.URL(key), err)
		}
	}
	return false, fmt.Errorf("store %s: other writers interfered %d times", c.s.b.URL(key), mostTries)
}

// isGone reports that the store no longer has the object of a condition, or an upload.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// look finds out under which condition the file can have a name.
func (c *content) look(to weirhttp.UploadTarget, name string) (replaces bool, cond condition, err error) {
	f, err := c.s.Stat(c.ctx, name)
	at := &f
	if errors.Is(err, fs.ErrNotExist) {
		at, err = nil, nil
	}
	if err != nil {
		return false, cond, err
	}
	err = to.Check(name, at)
	switch {
	case errors.Is(err, fs.ErrExist) && c.only(to):
		return false, cond, err
	case errors.Is(err, fs.ErrExist):
		return false, cond, errTaken
	case err != nil:
		return false, cond, err
	case at == nil || at.Folder:
		return false, condition{absent: true}, nil
	}
	return true, condition{etag: f.Version}, nil
}

// only reports whether the upload can have no name but one.
func (c *content) only(to weirhttp.UploadTarget) bool {
	n := 0
	for range to.Names() {
		if n++; n > 1 {
			return false
		}
	}
	return true
}

// fence swaps in how the file is about to get its name. From then on a later epoch can end
// this attempt.
func (c *content) fence(p *place) error {
	if c.raw {
		return nil
	}
	for {
		old := c.newest()
		if old == nil {
			return weirhttp.ErrUploadChanged
		}
		r := old.record
		r.Place = p
		e, err := c.s.swap(c.ctx, c.id, old, r)
		if errors.Is(err, weirhttp.ErrUploadChanged) {
			if now, lerr := c.s.loadLive(c.ctx, c.id); lerr == nil && now.Epoch == c.epoch {
				continue
			}
			return err
		}
		if errors.Is(err, fs.ErrNotExist) {
			return weirhttp.ErrUploadChanged
		}
		if err != nil {
			return err
		}
		c.state = e
		return nil
	}
}

// create creates the object of the file: with one request if it is in memory, otherwise of
// its parts.
func (c *content) create(name, key string, cond condition) error {
	if !c.loaded { // the file was complete before this epoch
		if err := c.makeRoom(c.ctx); err != nil {
			return err
		}
	}
	if c.extent().Parts == 0 {
		if err := c.fence(&place{Name: name}); err != nil {
			return err
		}
		if err := c.addsUp(); err != nil {
			return err
		}
		_, _, err := c.s.put(c.ctx, key, c.buf, cond, c.id)
		return err
	}
	upload, err := c.begin(key)
	if err != nil {
		return err
	}
	err = c.fence(&place{Name: name, Upload: upload})
	if err == nil {
		err = c.addsUp()
	}
	var parts []minio.CompletePart
	if err == nil {
		parts, err = c.assemble(key, upload)
	}
	if err == nil {
		err = c.complete(key, upload, parts, cond)
	}
	if err != nil {
		// If it is complete after all, the store does not know the upload any more.
		ctx, cancel := lasting(c.ctx)
		defer cancel()
		if _, aerr := c.s.abort(ctx, key, upload); aerr != nil {
			c.s.log.Warn("multipart upload not removed", "object", c.s.b.URL(key), "error", aerr)
		}
	}
	return err
}

// addsUp returns an error if the parts and the bytes in memory are not the whole content.
// It guards against a file that lacks some of its bytes.
func (c *content) addsUp() error {
	if got := c.extent().Bytes + int64(len(c.buf)); got != c.size {
		return c.fail(fmt.Errorf("the parts of the upload do not add up: %d bytes, not %d", got, c.size))
	}
	return nil
}

func (c *content) begin(key string) (upload string, err error) {
	err = c.s.b.Request(c.ctx, "write", key, func(ctx context.Context) (err error) {
		upload, err = c.s.b.Core.NewMultipartUpload(ctx, c.s.b.Name, key, minio.PutObjectOptions{UserMetadata: map[string]string{markHeader: c.id}})
		return err
	})
	if err == nil && upload == "" {
		err = errors.New("the store gave the upload no id")
	}
	return upload, err
}

// copies is how many parts are copied at a time.
const copies = 4

// assemble makes parts of a multipart upload of the objects with the content.
func (c *content) assemble(key, upload string) ([]minio.CompletePart, error) {
	runs, err := c.s.runs(c.ctx, c.id, &c.state.record)
	if err != nil {
		return nil, c.missing(err)
	}
	var sources []string
	for _, r := range append(runs, c.own...) {
		for i := range r.Count {
			sources = append(sources, c.s.part(c.id, partName(r.Epoch, r.First+i)))
		}
	}
	parts := make([]minio.CompletePart, len(sources), len(sources)+1)
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	slots := make(chan struct{}, copies)
	var wg sync.WaitGroup
	for i, from := range sources {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			err := c.s.b.Request(ctx, "copy", from, func(ctx context.Context) (err error) {
				parts[i], err = c.s.copyPart(ctx, from, key, upload, i+1)
				return err
			})
			if err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(c.buf) == 0 {
		return parts, nil
	}
	sum := md5.Sum(c.buf)
	last := minio.CompletePart{PartNumber: len(parts) + 1}
	err = c.s.b.Request(ctx, "write", key, func(ctx context.Context) error {
		got, err := c.s.b.Core.PutObjectPart(ctx, c.s.b.Name, key, upload, last.PartNumber, bytes.NewReader(c.buf), int64(len(c.buf)),
			minio.PutObjectPartOptions{Md5Base64: base64.StdEncoding.EncodeToString(sum[:])})
		last.ETag = got.ETag
		return err
	})
	return append(parts, last), err
}

// complete makes an object of the parts.
func (c *content) complete(key, upload string, parts []minio.CompletePart, cond condition) error {
	return c.s.b.Request(c.ctx, "write", key, func(ctx context.Context) error {
		var o minio.PutObjectOptions
		cond.set(&o)
		_, err := c.s.b.Core.CompleteMultipartUpload(ctx, c.s.b.Name, key, upload, parts, o)
		return err
	})
}

// Withdraw implements [weirhttp.UploadContent].
func (c *content) Withdraw() error {
	if c.placed == "" {
		return nil
	}
	name := c.placed
	placed, err := c.s.isPlaced(c.ctx, c.id, name)
	if err != nil || !placed {
		return err
	}
	return c.s.remove(c.ctx, c.s.key(name))
}
