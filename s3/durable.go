package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/minio/crc64nvme"
	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3/internal/access"
)

// stateSuffix, behind the key of an object, makes the key of the object that has
// the checkpoint of an unfinished flow.
const stateSuffix = ".weir-flow"

// durableSink is an object that a later run can continue to write.
type durableSink struct {
	a address
	o endpoint.HTTPOptions

	c      *client
	ctx    context.Context // of the run
	u      *upload
	state  flowState
	etag   string // of the state in the store; empty: there is none
	stored string // id of the multipart upload that the state in the store has
	whole  bool   // the object is there, and the state only a remainder
	placed bool   // by this run
}

// flowState is the checkpoint of an unfinished object. The store has it as one
// line of JSON, which the tail follows.
type flowState struct {
	Mark       string              `json:"mark"` // another one each time, so that we recognize our own writes
	Checkpoint durable.Checkpoint  `json:"checkpoint"`
	End        *durable.Checkpoint `json:"end,omitempty"` // the object is being completed
	Nonce      string              `json:"nonce"`         // of the object
	Upload     string              `json:"upload,omitempty"`
	Plain      bool                `json:"plain,omitempty"`
	PartSize   int64               `json:"part_size"`
	Parts      []statePart         `json:"parts,omitempty"`
	Tail       int                 `json:"tail"` // bytes behind the parts
	TailSum    uint64              `json:"tail_sum"`
}

type statePart struct {
	ETag string `json:"etag"`
	Sum  uint64 `json:"sum"`
}

func (k *durableSink) Name() string   { return "store" }
func (k *durableSink) String() string { return k.a.String() }

// Peer names what the sink waits for.
func (k *durableSink) Peer() string { return peer }

func (k *durableSink) part() int64 { return k.a.store.partSize(0, heldPart) }

// Holds counts the parts, and one more for a tail in flight to the store.
func (k *durableSink) Holds() int64 {
	_, most := k.a.store.buffers(0, k.part(), false)
	return int64(most+1)*k.part() + k.part()/growth
}

// Pace says when to save.
func (k *durableSink) Pace() (n int64, age, idle time.Duration) {
	return 6 * k.part(), time.Minute, time.Second
}

func (k *durableSink) stateKey() string { return k.a.key + stateSuffix }

func (k *durableSink) Open(ctx context.Context) (durable.Checkpoint, error) {
	c, err := newClient(k.a, k.o)
	if err != nil {
		return durable.Checkpoint{}, err
	}
	k.c, k.ctx, k.whole, k.placed, k.etag, k.stored = c, ctx, false, false, "", ""
	k.u = newUpload(ctx, c, k.a.key, k.part(), endpoint.SinkOptions{})
	k.u.note = k.note
	at, err := k.open(ctx)
	if err != nil {
		return durable.Checkpoint{}, errors.Join(err, k.Close())
	}
	return at, nil
}

func (k *durableSink) open(ctx context.Context) (at durable.Checkpoint, err error) {
	stored, err := readFlowState(ctx, k.c, k.a.key)
	tail := stored.tail
	k.state, k.etag, k.stored = stored.flowState, stored.etag, stored.Upload
	if errors.Is(err, fs.ErrNotExist) {
		k.state = flowState{Nonce: k.u.nonce, PartSize: k.u.part}
		return at, nil
	}
	if err != nil {
		return at, err
	}
	s, u := k.state, k.u
	u.nonce, u.plain, u.id = s.Nonce, s.Plain, s.Upload
	u.resize(s.PartSize, k.Holds()-s.PartSize-s.PartSize/growth) // without the tail in flight
	if s.End != nil && u.isThere() {
		k.whole = true
		return *s.End, nil
	}
	for i, p := range s.Parts {
		u.sent(sentPart{number: i + 1, etag: p.ETag, sums: sums{crc: p.Sum}, size: s.PartSize})
	}
	u.number = len(s.Parts)
	u.total = int64(len(s.Parts))*s.PartSize + int64(len(tail))
	if len(tail) > 0 {
		u.takeBuffer()
		u.filling, u.filled, u.buf = true, int64(len(tail)), tail
		u.sum.Write(tail)
	}
	if u.total != s.Checkpoint.Offset {
		return at, fmt.Errorf("%s is damaged; to begin anew, remove it", k.c.url(k.stateKey()))
	}
	k.state.End = nil
	if u.id == "" {
		return s.Checkpoint, k.abortUnrecorded(ctx, stored.modified, tail)
	}
	err = k.c.request(ctx, "continue", k.a.key, false, func(ctx context.Context) error {
		_, err := k.c.core.ListObjectParts(ctx, k.c.bucket, k.a.key, u.id, 0, 1)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(s.Parts) == 0:
		u.id = "" // nothing is lost: the tail has all bytes
	case errors.Is(err, fs.ErrNotExist):
		return at, fmt.Errorf("the parts of %s are gone; to begin anew, remove %s", k.a, k.c.url(k.stateKey()))
	case err != nil:
		return at, err
	}
	return s.Checkpoint, nil
}

// abortUnrecorded removes the upload that a killed run began and whose id it could
// not store. announced is when that run stored its state.
func (k *durableSink) abortUnrecorded(ctx context.Context, announced time.Time, tail []byte) error {
	looking, cancel := context.WithTimeout(ctx, cleanup)
	defer cancel()
	ids, err := k.c.unrecorded(looking, k.a.key, announced)
	if err != nil || len(ids) == 0 {
		// Without permission to list uploads, a run can still do its work. An upload
		// that stays goes with a later sweep.
		return context.Cause(ctx)
	}
	// If that run is alive after all, from now on it cannot store the id any more, and
	// aborts the upload itself.
	if err := k.put(ctx, tail); err != nil {
		return err
	}
	for _, id := range ids {
		_ = k.c.abort(ctx, k.a.key, id) // the same holds
	}
	return nil
}

// storedState is a state as the store has it.
type storedState struct {
	flowState
	tail     []byte
	etag     string
	modified time.Time
}

// readFlowState reads the state of the object with this key. Its error matches
// fs.ErrNotExist if there is none.
func readFlowState(ctx context.Context, c *client, key string) (s storedState, err error) {
	key += stateSuffix
	var text []byte
	err = c.request(ctx, "read", key, false, func(ctx context.Context) error {
		body, info, _, err := c.core.GetObject(ctx, c.bucket, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		s.etag, s.modified = info.ETag, info.LastModified
		text, err = io.ReadAll(io.LimitReader(body, maxPart))
		return err
	})
	if err != nil {
		return storedState{}, err
	}
	line, tail, _ := bytes.Cut(text, []byte("\n"))
	if json.Unmarshal(line, &s.flowState) != nil || s.PartSize < minPart || len(tail) != s.Tail || crc64nvme.Checksum(tail) != s.TailSum {
		return storedState{}, fmt.Errorf("%s is damaged; to begin anew, remove it", c.url(key))
	}
	s.tail = tail
	return s, nil
}

// put stores the state, unless another run has stored one since we read it.
func (k *durableSink) put(ctx context.Context, tail []byte) error {
	s := &k.state
	u := k.u
	s.Mark, s.Upload, s.Plain, s.Tail, s.TailSum = rand.Text(), u.id, u.plain, len(tail), crc64nvme.Checksum(tail)
	u.partsMu.Lock()
	for _, p := range u.parts[len(s.Parts):] {
		s.Parts = append(s.Parts, statePart{p.etag, p.crc})
	}
	u.partsMu.Unlock()
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	text = append(append(text, '\n'), tail...)
	sum, sha := md5Base64(bytes.NewReader(text)), access.SHA256(k.c.core, text)
	err = k.c.request(ctx, "write", k.stateKey(), false, func(ctx context.Context) error {
		o := minio.PutObjectOptions{DisableContentSha256: true}
		if k.etag == "" {
			o.SetMatchETagExcept("*")
		} else {
			o.SetMatchETag(k.etag)
		}
		info, err := k.c.core.PutObject(ctx, k.c.bucket, k.stateKey(), bytes.NewReader(text), int64(len(text)), sum, sha, o)
		if err == nil {
			k.etag, k.stored = info.ETag, s.Upload
		}
		return err
	})
	var e *Error
	if !errors.As(err, &e) || e.StatusCode != http.StatusPreconditionFailed && e.StatusCode != http.StatusConflict && e.StatusCode != http.StatusNotFound {
		return err
	}
	// Somebody else has written, or an answer to us was lost.
	there, rerr := readFlowState(ctx, k.c, k.a.key)
	if rerr == nil && there.Mark == s.Mark {
		k.etag, k.stored = there.etag, s.Upload
		return nil
	}
	return fmt.Errorf("%s: %w", k.a, durable.ErrInUse)
}

// note stores the state without the bytes since the last checkpoint. It is called
// before the multipart upload begins, so that a later run knows when to look for one
// whose id is missing, and again before the first part is sent: a run that continues
// must know the id. The request is not interrupted, so that Close can find out
// whether it had its effect.
func (k *durableSink) note() error {
	ctx, release := outlive(k.ctx)
	defer release()
	return k.put(ctx, k.u.buf[:k.state.Checkpoint.Offset])
}

// isRecorded reports whether a later run can find the multipart upload. If the store
// does not say, it may.
func (k *durableSink) isRecorded() bool {
	if k.u.id == "" || k.u.id == k.stored {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), cleanup)
	defer cancel()
	s, err := readFlowState(ctx, k.c, k.a.key)
	return err == nil && s.Upload == k.u.id || err != nil && !errors.Is(err, fs.ErrNotExist)
}

func (k *durableSink) Write(_ context.Context, p []byte) (int, error) { return k.u.Write(p) }

func (k *durableSink) Save(ctx context.Context, c durable.Checkpoint) error {
	if err := k.u.flush(); err != nil {
		return err
	}
	k.state.Checkpoint = c
	return k.put(ctx, k.u.buf)
}

func (k *durableSink) Commit(ctx context.Context, c durable.Checkpoint) error {
	k.state.End = &c
	if err := k.put(ctx, k.u.buf); err != nil {
		return err
	}
	if err := k.u.Commit(); err != nil {
		return err
	}
	k.placed = true
	return nil
}

// Forget drops the remains of a flow whose object is complete.
func (k *durableSink) Forget(ctx context.Context) error {
	if err := k.Close(); err != nil {
		return err
	}
	_, err := k.Open(ctx)
	return err
}

// Close ends the use of the store. The state goes when the object is there. The parts
// stay for a later run, unless none can know of them.
func (k *durableSink) Close() error {
	if k.isRecorded() {
		k.u.keep()
	}
	err := k.u.Close()
	if k.whole || k.placed {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), cleanup)
		defer cancel()
		err = errors.Join(err, k.c.request(ctx, "delete", k.stateKey(), false, func(ctx context.Context) error {
			return k.c.core.RemoveObject(ctx, k.c.bucket, k.stateKey(), minio.RemoveObjectOptions{})
		}))
	}
	return err
}
