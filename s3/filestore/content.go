package filestore

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/s3/internal/access"
	"github.com/weir-go/weir/weirhttp"
)

// content is the content of an upload during one epoch, or one request.
type content struct {
	s     *Store
	id    string
	epoch int64
	raw   bool            // of one request: it has no state
	wait  context.Context // until when Write waits for memory
	ctx   context.Context // of requests to the store; it ends with close
	end   context.CancelFunc
	state *entry // the newest that this content has seen; of a raw one, only the record

	part   int64 // size of a part
	own    []run // parts that are in the store and not in the state yet
	number int   // of the last part that was begun
	tails  int   // how many tails and indexes were written

	// The bytes behind the parts are first the bytes of sending, and then the bytes of buf. Until
	// loaded is set, buf has none, and they are only in the tail that the state names.
	loaded  bool
	buf     []byte
	held    int64    // bytes of the budget
	sending *sending // nil: no part is in flight
	spare   []byte   // a buffer to use next

	size  int64 // of the content
	room  int64 // bytes of the quota
	step  int64 // how many more to reserve at a time, if the length is not known
	saved int64 // the Offset in the store
	err   error // why the content cannot be continued

	placed string // the name of the file, after Finish
	over   bool   // close was called

	watching sync.WaitGroup
}

// sending is a part in flight.
type sending struct {
	buf  []byte
	run  run
	done chan struct{} // closed when err is set
	err  error
}

// watch calls lost when another process has taken over the upload.
func (c *content) watch(lost func()) {
	ticker := time.NewTicker(c.s.watch)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-c.ctx.Done():
			return
		}
		data, _, err := c.s.b.get(c.ctx, c.s.stateKey(c.id))
		var r record
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil, json.Unmarshal(data, &r) != nil, r.Epoch == c.epoch && r.Phase != deleted:
			continue
		}
		lost()
		return
	}
}

// Size implements [weirhttp.UploadContent].
func (c *content) Size() int64 { return c.size }

// fail keeps the first error that makes it impossible to continue.
func (c *content) fail(err error) error {
	if c.err == nil {
		c.err = err
	}
	return c.err
}

// Write implements [weirhttp.UploadContent].
func (c *content) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if err := c.need(c.size + int64(len(p))); err != nil {
		return 0, err
	}
	written := 0
	for len(p) > 0 {
		if err := c.makeRoom(c.wait); err != nil {
			return written, err
		}
		n := min(len(p), int(c.part)-len(c.buf))
		c.grow(n)
		c.buf = append(c.buf, p[:n]...)
		c.size += int64(n)
		written += n
		p = p[n:]
	}
	return written, nil
}

// need reserves n bytes of the quota in all.
func (c *content) need(n int64) error {
	if c.s.quota <= 0 || n <= c.room {
		return nil
	}
	for {
		want := max(n, c.room+c.step)
		err := c.s.reserve(c.ctx, c.id, c.room, want)
		if err == nil {
			c.room = want
			return nil
		}
		if want == n || !errno.Is(err, syscall.ENOSPC) {
			return err
		}
		c.step /= 8 // near the quota; later writes begin with this one
	}
}

// roomStep is how much an upload of unknown length reserves at a time, in bytes, while there
// is so much.
const roomStep = 64 << 20

// makeRoom makes sure that buf can take a byte, and that it begins with the tail.
func (c *content) makeRoom(ctx context.Context) error {
	if int64(len(c.buf)) == c.part {
		if err := c.send(c.buf); err != nil {
			return err
		}
		c.buf = nil
	}
	if c.buf != nil {
		return nil
	}
	switch {
	case c.spare != nil:
		c.buf, c.spare = c.spare[:0], nil
	case c.sending == nil:
		if err := c.take(ctx); err != nil {
			return err
		}
		c.buf = []byte{}
	case c.more():
		c.buf = []byte{}
	default: // the budget has no second part for us now
		if err := c.settle(); err != nil {
			return err
		}
		c.buf, c.spare = c.spare[:0], nil
	}
	if !c.loaded {
		return c.load()
	}
	return nil
}

// take takes the memory of a part from the budget, and waits for it.
func (c *content) take(ctx context.Context) error {
	n := c.fits()
	if err := c.s.budget.Acquire(ctx, n); err != nil {
		return fmt.Errorf("wait for memory: %w", err)
	}
	c.held += n
	return nil
}

// more takes the memory of another part if there is some now.
func (c *content) more() bool {
	n := c.fits()
	if c.s.budget.Acquire(ended, n) != nil {
		return false
	}
	c.held += n
	return true
}

// ended is a context that has ended: with it, a budget gives only memory that is free now.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// fits returns how large a buffer must be for the bytes that can still come: at most a
// part.
func (c *content) fits() int64 {
	if c.state.Size < 0 {
		return c.part
	}
	return min(c.part, max(c.state.Size-c.extent().Bytes, 1))
}

// grow makes room for n more bytes in buf. A small file takes no whole part of memory.
func (c *content) grow(n int) {
	need := len(c.buf) + n
	if need <= cap(c.buf) {
		return
	}
	size := max(2*cap(c.buf), need, 64<<10)
	if int64(size) > c.part/4 { // so that the old and the new one are not much more than a part
		size = int(max(min(c.part, c.fits()), int64(need)))
	}
	c.buf = append(make([]byte, 0, size), c.buf...)
}

// load reads the tail of earlier epochs.
func (c *content) load() error {
	data, _, err := c.s.b.get(c.ctx, c.s.part(c.id, c.state.Tail.Name))
	if err == nil && int64(len(data)) != c.state.Tail.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return c.fail(fmt.Errorf("read the end of the upload: %w", c.missing(err)))
	}
	c.grow(len(data))
	c.buf = append(c.buf, data...)
	c.loaded = true
	return nil
}

// missing returns err, unless it says that an object of this upload does not exist: then the
// upload has been taken over, and a later epoch has no use for the object any more.
func (c *content) missing(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !c.raw {
		e, lerr := c.s.loadLive(c.ctx, c.id)
		if errors.Is(lerr, fs.ErrNotExist) || lerr == nil && e.Epoch != c.epoch {
			return weirhttp.ErrUploadChanged
		}
	}
	// The upload exists; its client must not take this for the opposite.
	return fmt.Errorf("a part of the upload is missing in the store: %v", err)
}

// send begins to send a part, after the one before has arrived.
func (c *content) send(buf []byte) error {
	if err := c.settle(); err != nil {
		return err
	}
	if c.extent().Parts >= mostParts-1 {
		return c.fail(tooLarge(c.size))
	}
	c.number++
	p := &sending{buf: buf, run: run{c.epoch, c.number, 1, int64(len(buf)), int64(len(buf))}, done: make(chan struct{})}
	c.sending = p
	key := c.s.part(c.id, partName(c.epoch, c.number))
	go func() {
		defer close(p.done)
		_, _, p.err = c.s.b.put(c.ctx, key, buf, condition{}, "")
	}()
	return nil
}

// settle waits until the part in flight has arrived.
func (c *content) settle() error {
	p := c.sending
	if p == nil {
		return c.err
	}
	<-p.done
	c.sending = nil
	if p.err != nil {
		return c.fail(fmt.Errorf("save a part of the upload: %w", p.err))
	}
	c.own = appendRun(c.own, p.run)
	c.spare = p.buf[:0]
	return c.err
}

// appendRun adds parts to a list. Those of one epoch and one size are one run.
func appendRun(runs []run, r run) []run {
	if n := len(runs); n > 0 {
		last := &runs[n-1]
		follows := last.Epoch == r.Epoch && last.First+last.Count == r.First && last.Bytes == int64(last.Count)*last.Part
		if follows && (r.Part == last.Part || r.Count == 1 && r.Bytes < last.Part) {
			last.Count += r.Count
			last.Bytes += r.Bytes
			return runs
		}
	}
	return append(runs, r)
}

// extent returns the number and the size of the parts in the store.
func (c *content) extent() extent {
	e := c.state.extent()
	for _, r := range c.own {
		e.Parts += r.Count
		e.Bytes += r.Bytes
	}
	return e
}

// Checkpoint implements [weirhttp.UploadContent]. It saves the parts that have arrived.
func (c *content) Checkpoint() error {
	if c.raw || c.err != nil || len(c.own) == 0 {
		return c.err
	}
	return c.commit(nil, c.extent().Bytes)
}

// Flush implements [weirhttp.UploadContent].
func (c *content) Flush() error {
	if err := c.settle(); err != nil {
		return err
	}
	if c.raw {
		return c.spill()
	}
	if c.size == c.saved && len(c.own) == 0 {
		return nil
	}
	// Many short parts would use up their number, so later on only whole ones are sent.
	if n := c.s.b.MarkedSize(int64(len(c.buf))); n > 0 && c.extent().Parts < c.s.short {
		rest := append([]byte(nil), c.buf[n:]...)
		if err := c.send(c.buf[:n]); err != nil {
			return err
		}
		c.buf = nil
		if err := c.settle(); err != nil {
			return err
		}
		c.buf, c.spare = append(c.spare[:0], rest...), nil
	}
	if len(c.buf) == 0 {
		return c.commit(nil, c.size)
	}
	t, err := c.putTail()
	if err != nil {
		return err
	}
	return c.commit(t, c.size)
}

// putTail writes the bytes behind the parts to an object.
func (c *content) putTail() (*tail, error) {
	c.tails++
	t := &tail{Name: fmt.Sprintf("%d.t%d", c.epoch, c.tails), Size: int64(len(c.buf))}
	if _, _, err := c.s.b.put(c.ctx, c.s.part(c.id, t.Name), c.buf, condition{}, ""); err != nil {
		return nil, c.fail(fmt.Errorf("save the end of the upload: %w", err))
	}
	return t, nil
}

// spill moves the bytes of a request from memory to the store, until Finish. The files of a
// form wait for each other, and must not wait for each other's memory.
func (c *content) spill() error {
	if len(c.buf) > 0 {
		t, err := c.putTail()
		if err != nil {
			return err
		}
		c.state = &entry{record: record{Size: c.size, Tail: t}}
		c.loaded = false
	}
	c.drop()
	return nil
}

// drop gives the memory back.
func (c *content) drop() {
	c.buf, c.spare = nil, nil
	if c.held > 0 {
		c.s.budget.Release(c.held)
		c.held = 0
	}
}

// mostShort is how many parts an upload has before bytes that do not fill a part go to the
// tail.
const mostShort = mostParts - plannedParts - 100

// commit swaps in a state with the parts that have arrived, and a tail behind them.
func (c *content) commit(t *tail, offset int64) error {
	for {
		old := c.newest()
		if old == nil {
			return c.fail(weirhttp.ErrUploadChanged)
		}
		r := old.record
		r.Runs = append([]run(nil), r.Runs...)
		for _, o := range c.own {
			r.Runs = appendRun(r.Runs, o)
		}
		if len(r.Runs) > mostRuns {
			if err := c.moveRuns(&r); err != nil {
				return err
			}
		}
		r.Tail, r.Offset, r.Room = t, offset, c.room
		e, err := c.s.swap(c.ctx, c.id, old, r)
		if errors.Is(err, weirhttp.ErrUploadChanged) {
			if now, lerr := c.s.loadLive(c.ctx, c.id); lerr == nil && now.Epoch == c.epoch && now.extent() == c.state.extent() {
				continue // this request itself has changed the state, but not the parts
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = weirhttp.ErrUploadChanged
		}
		if err != nil {
			return c.fail(err)
		}
		if old.Tail != nil && (t == nil || old.Tail.Name != t.Name) {
			// Nobody can need it: a process that takes over reads the state first.
			if err := c.s.b.remove(c.ctx, c.s.part(c.id, old.Tail.Name)); err != nil {
				c.s.log.Debug("end of an upload not removed", "upload", c.id, "error", err)
			}
		}
		c.state, c.own, c.saved = e, nil, offset
		return nil
	}
}

// newest returns the newest state of this epoch, nil if a later epoch was swapped in.
func (c *content) newest() *entry {
	e := c.s.remembered(c.id)
	if e == nil {
		var err error
		if e, err = c.s.loadLive(c.ctx, c.id); err != nil {
			return c.state // the swap finds out what is wrong
		}
	}
	if e.Epoch > c.epoch {
		return nil
	}
	if e.Epoch < c.epoch {
		return c.state
	}
	return e
}

// moveRuns moves the runs of a state to an object of their own.
func (c *content) moveRuns(r *record) error {
	data, err := json.Marshal(index{r.Index, r.Runs})
	if err != nil {
		return err
	}
	c.tails++
	name := fmt.Sprintf("%d.i%d", c.epoch, c.tails)
	if _, _, err := c.s.b.put(c.ctx, c.s.part(c.id, name), data, condition{}, ""); err != nil {
		return c.fail(fmt.Errorf("save the list of parts: %w", err))
	}
	r.Before = r.extent()
	r.Index, r.Runs = name, nil
	return nil
}

// Cut implements [weirhttp.UploadContent].
func (c *content) Cut(n int64) error {
	if n == c.size {
		return nil
	}
	if err := c.settle(); err != nil {
		return err
	}
	if n < c.saved || n > c.size {
		return fmt.Errorf("cut an upload of %d bytes, of which %d are saved, to %d", c.size, c.saved, n)
	}
	if parts := c.extent().Bytes; n < parts {
		if err := c.cutParts(n); err != nil {
			return err
		}
	} else {
		c.buf = c.buf[:n-parts]
	}
	c.size = n
	return nil
}

// cutParts removes parts that no state names. The rest of the last one comes back into
// memory. Numbers are not used again, because an old request can still be under way.
func (c *content) cutParts(n int64) error {
	var keep []run
	at := c.state.extent().Bytes
	for _, r := range c.own {
		for i := range r.Count {
			size := r.size(i)
			if at+size <= n {
				keep = appendRun(keep, run{r.Epoch, r.First + i, 1, size, size})
				at += size
				continue
			}
			buf := c.buf[:0]
			if c.buf == nil {
				buf = c.spare[:0]
				c.spare = nil
			}
			data, _, err := c.s.b.get(c.ctx, c.s.part(c.id, partName(r.Epoch, r.First+i)))
			if err != nil || int64(len(data)) != size {
				return c.fail(fmt.Errorf("read a part of the upload: %w", errors.Join(c.missing(err), io.ErrUnexpectedEOF)))
			}
			c.buf = append(buf, data[:n-at]...)
			c.own = keep
			return nil
		}
	}
	c.own = keep
	return nil
}

// Reader implements [weirhttp.UploadContent].
func (c *content) Reader() io.Reader { return &reader{c: c} }

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
		if _, err := c.s.b.abort(c.ctx, c.s.key(p.Name), p.Upload); err != nil {
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
		_, _, err := c.s.b.put(c.ctx, key, c.buf, cond, c.id)
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
		if _, aerr := c.s.b.abort(ctx, key, upload); aerr != nil {
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
				parts[i], err = c.s.b.copyPart(ctx, from, key, upload, i+1)
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
	sum, sha := md5.Sum(c.buf), access.SHA256(c.s.b.Core, c.buf)
	last := minio.CompletePart{PartNumber: len(parts) + 1}
	err = c.s.b.Request(ctx, "write", key, func(ctx context.Context) error {
		got, err := c.s.b.Core.PutObjectPart(ctx, c.s.b.Name, key, upload, last.PartNumber, bytes.NewReader(c.buf), int64(len(c.buf)),
			minio.PutObjectPartOptions{
				Md5Base64: base64.StdEncoding.EncodeToString(sum[:]), Sha256Hex: sha, DisableContentSha256: true,
			})
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
	return c.s.b.remove(c.ctx, c.s.key(name))
}

// Close implements [weirhttp.UploadContent].
func (c *content) Close() error {
	if c.over {
		return nil
	}
	c.over = true
	if c.sending != nil {
		<-c.sending.done
		c.sending = nil
	}
	c.end()
	c.watching.Wait()
	c.drop()
	ctx, cancel := lasting(c.ctx)
	defer cancel()
	if !c.raw {
		e := c.s.remembered(c.id)
		if e == nil || e.Phase != done {
			return nil
		}
	}
	c.s.release(ctx, c.id, c.room)
	if c.raw && c.number == 0 && c.tails == 0 {
		return nil // nothing was written
	}
	if err := c.s.b.removeAll(ctx, c.s.contents(c.id)); err != nil {
		return fmt.Errorf("remove the parts of a finished upload: %w", err)
	}
	return nil
}
