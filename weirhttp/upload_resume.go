package weirhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/digest"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/quota"
	"github.com/weir-go/weir/weirhttp/internal/writeback"
)

// resumption is the common part of all protocols for resumable uploads: one state machine
// over a store. A request takes an upload over, which ends an older request, works with it
// in a session, and ends the session.
type resumption struct {
	set    *settings
	store  uploadStore
	moving time.Duration // how long after its last bytes a transfer counts as moving

	mu     sync.Mutex        // guards the fields below
	claims int64             // how often claim was called
	owners map[string]*owner // of uploads, by id: requests of this process
}

func newResumption(set *settings, store uploadStore) *resumption {
	return &resumption{set: set, store: store, moving: 2 * time.Second, owners: make(map[string]*owner)}
}

// errComplete is the error of a DELETE that comes too late. 404 says that there is nothing to
// remove, and keeps clients from trying again.
var errComplete = &refusal{http.StatusNotFound, "The upload is complete and can no longer be removed; the file stays"}

// mostMetadata limits the metadata in the record of an upload, in bytes.
const mostMetadata = 4 << 10

// errRequest refuses a request that brings more than most bytes.
func errRequest(most int64) error {
	return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("A request can carry at most %d bytes; send the file in parts", most)}
}

// uploadRequest is a request that can append to an upload, and that another request can
// end.
type uploadRequest struct {
	r        *http.Request
	x        *transfer
	checksum *checksum       // of the body; nil: none
	ctx      context.Context // ends with the request, or with stop
	stop     context.Context // ends when another request interrupts this one

	mu      sync.Mutex // guards ending
	ending  func()     // ends stop and ctx
	stopped bool       // end was called
}

// newUploadRequest returns a request that can be interrupted until end is called.
func newUploadRequest(r *http.Request) *uploadRequest {
	req := &uploadRequest{r: r}
	var stop, cancel context.CancelCauseFunc
	req.ctx, cancel = context.WithCancelCause(r.Context())
	req.stop, stop = context.WithCancelCause(context.WithoutCancel(r.Context()))
	req.ending = func() { stop(errTaken); cancel(errTaken) }
	return req
}

// body returns the body of the request.
func (req *uploadRequest) body() *requestBody { return req.r.Body.(*requestBody) }

// interrupt ends the transfer of the request, also while it waits for its client.
func (req *uploadRequest) interrupt() {
	req.mu.Lock()
	defer req.mu.Unlock()
	if req.stopped {
		return // the connection can be in use for another request
	}
	req.ending()
	// The order matters: see requestBody.extend and its callers.
	req.body().interrupt()
}

// end makes later calls of interrupt do nothing.
func (req *uploadRequest) end() {
	req.mu.Lock()
	defer req.mu.Unlock()
	req.stopped = true
	req.ending()
}

// owner is a request that works with an upload.
type owner struct {
	rank int64          // a later request has a higher one
	req  *uploadRequest // nil: it cannot be interrupted
	done chan struct{}  // closed when it has ended

	mu    sync.Mutex // guards the fields below
	whole bool       // its bytes count only if all of them arrive and match their digest
	start int64      // with whole: the offset before them
}

// session is an upload that a request has taken over. The request must end it.
type session struct {
	u       *resumption
	id      string
	state   uploadState
	data    uploadContent
	own     *owner
	placing bool // an earlier request has said that the upload is complete
}

// begin creates an upload and takes it over.
func (u *resumption) begin(ctx context.Context, req *uploadRequest, state uploadState) (*session, error) {
	n := len(state.Match) + len(state.NoneMatch)
	for key, value := range state.Metadata {
		n += len(key) + len(value)
	}
	for _, lines := range state.Digests {
		for _, line := range lines {
			n += len(line)
		}
	}
	if n > mostMetadata {
		return nil, &refusal{http.StatusRequestEntityTooLarge, "The metadata is larger than " + weir.FormatBytes(mostMetadata)}
	}
	id := newUploadID()
	if err := u.store.create(ctx, id, state); err != nil {
		return nil, err
	}
	state.Epoch = 1
	own, err := u.claim(ctx, id, req)
	if err != nil {
		return nil, err
	}
	s := &session{u: u, id: id, state: state, own: own}
	open := false
	defer func() {
		if !open { // also if the store has panicked
			s.end()
		}
	}()
	s.called(shownName(&s.state))
	if s.data, err = u.store.append(waits(ctx, req), id, state.Epoch, s.lost); err != nil {
		return nil, err
	}
	open = true
	return s, nil
}

// look returns the state of an upload and does not disturb a request that works with it.
func (u *resumption) look(ctx context.Context, id string) (uploadState, error) {
	state, _, err := u.store.read(ctx, id)
	if err == nil {
		state.Offset = u.settled(id, state.Offset)
	}
	return state, err
}

// settled returns how many of n bytes stay whatever happens to the request under way.
func (u *resumption) settled(id string, n int64) int64 {
	u.mu.Lock()
	own := u.owners[id]
	u.mu.Unlock()
	if own == nil {
		return n
	}
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.whole {
		return min(n, own.start)
	}
	return n
}

// isHeld reports whether a request of this process works with the upload and does not move:
// it has received no bytes for a while.
func (u *resumption) isHeld(id string) bool {
	u.mu.Lock()
	own := u.owners[id]
	u.mu.Unlock()
	return own != nil && (own.req == nil || own.req.x == nil || own.req.x.idle() >= u.moving)
}

// take takes an upload over. It refuses a state that valid refuses, and in that case does
// not touch a request that works with the upload, unless the state has changed after the
// first check. If the upload is complete, the session has no content.
//
// If req is nil, no other request can interrupt the session. It must then be short.
func (u *resumption) take(ctx context.Context, id string, req *uploadRequest, valid func(uploadState) error) (*session, error) {
	state, err := u.look(ctx, id)
	if err == nil {
		err = valid(state)
	}
	if err != nil {
		return nil, err
	}
	if state.Phase == uploadDone {
		return &session{u: u, id: id, state: state}, nil
	}
	own, err := u.claim(ctx, id, req)
	if err != nil {
		return nil, err
	}
	s := &session{u: u, id: id, own: own}
	open := false
	defer func() {
		if !open { // also if the store has panicked
			s.end()
		}
	}()
	if err := s.enter(ctx, valid); err != nil {
		return nil, err
	}
	open = true
	return s, nil
}

// waits returns ctx for the opening of content by a request that can be interrupted.
func waits(ctx context.Context, req *uploadRequest) context.Context {
	if req == nil {
		return ctx
	}
	return context.WithValue(ctx, waitKey{}, req.ctx)
}

// claim makes the request the only one of this process that works with the upload. It
// interrupts the one that does, and waits for its end. If a later request has been faster,
// the error is errTaken.
func (u *resumption) claim(ctx context.Context, id string, req *uploadRequest) (*owner, error) {
	own := &owner{req: req, done: make(chan struct{})}
	for {
		u.mu.Lock()
		if own.rank == 0 {
			u.claims++
			own.rank = u.claims
		}
		old := u.owners[id]
		if old == nil {
			u.owners[id] = own
		}
		u.mu.Unlock()
		switch {
		case old == nil:
			return own, nil
		case old.rank > own.rank:
			return nil, errTaken
		}
		if old.req != nil {
			old.req.interrupt()
		}
		select {
		case <-old.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// release ends a claim.
func (u *resumption) release(id string, own *owner) {
	u.mu.Lock()
	delete(u.owners, id)
	u.mu.Unlock()
	close(own.done)
}

// enter swaps in the next epoch and opens the content.
func (s *session) enter(ctx context.Context, valid func(uploadState) error) error {
	for {
		state, version, err := s.u.store.read(ctx, s.id)
		if err == nil {
			err = valid(state)
		}
		if err != nil {
			return err
		}
		s.state = state
		if state.Phase == uploadDone {
			return nil
		}
		state.Epoch++
		err = s.u.store.swap(ctx, s.id, version, state)
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return err
		}
		s.state, s.placing = state, state.Phase == uploadPlacing
		s.data, err = s.u.store.append(waits(ctx, s.own.req), s.id, state.Epoch, s.lost)
		if errors.Is(err, errChanged) || errors.Is(err, fs.ErrNotExist) {
			continue // another process was faster; or the older one gave the file its name
		}
		if err != nil {
			return err
		}
		s.state.Offset = s.data.size()
		s.called(shownName(&s.state))
		return valid(s.state) // the older request can have added bytes
	}
}

// lost is called when another process has taken over the upload.
func (s *session) lost() {
	if s.own.req != nil {
		s.own.req.interrupt()
	}
}

// end ends the session. The upload stays. It can be called more than once.
func (s *session) end() {
	if s.own == nil {
		return
	}
	own, data := s.own, s.data
	s.own, s.data = nil, nil
	defer s.u.release(s.id, own) // also if the store panics
	if data != nil {
		if err := data.close(); err != nil {
			s.u.set.log.Error("cannot close an upload", "error", err)
		}
	}
}

// read returns the state and its version, unless another request has taken over the
// upload.
func (s *session) read(ctx context.Context) (state uploadState, version string, err error) {
	state, version, err = s.u.store.read(ctx, s.id)
	if err == nil && state.Epoch != s.state.Epoch {
		err = errTaken
	}
	return state, version, err
}

// update changes the state, unless another request has taken over the upload.
func (s *session) update(ctx context.Context, change func(*uploadState)) error {
	for {
		state, version, err := s.read(ctx)
		if err != nil {
			return err
		}
		change(&state)
		if err := s.u.store.swap(ctx, s.id, version, state); !errors.Is(err, errChanged) {
			if err == nil {
				offset := s.state.Offset
				s.state = state
				s.state.Offset = offset
			}
			return err
		}
	}
}

// declare records the length of an upload that was created without one.
func (s *session) declare(ctx context.Context, n int64) error {
	return s.update(ctx, func(state *uploadState) { state.Size, state.Deferred = n, false })
}

// remove removes the upload. It also ends the session.
func (s *session) remove(ctx context.Context) error {
	defer s.end()
	for {
		state, version, err := s.read(ctx)
		if err != nil {
			return err
		}
		if state.Phase == uploadDone { // an older request was faster
			return errComplete
		}
		if s.data != nil { // Windows cannot remove an open file
			if err := s.data.close(); err != nil {
				return err
			}
			s.data = nil
		}
		if err := s.u.store.remove(ctx, s.id, version); !errors.Is(err, errChanged) {
			return err
		}
	}
}

// most returns how long the content can become.
func (s *session) most() int64 {
	most := int64(math.MaxInt64)
	if m := s.u.set.maxSize; m > 0 {
		most = m
	}
	if !s.state.Deferred {
		most = min(most, s.state.Size)
	}
	return most
}

// append adds the body of the request and returns how many bytes of it are kept. If the
// client breaks off, or another request takes over, the bytes before that are kept. So are
// those before the limit most if keep is set, else none. The error for a body that exceeds
// the limit is an *http.MaxBytesError.
//
// A body with a checksum is kept as a whole or not at all.
func (s *session) append(req *uploadRequest, most int64, keep bool) (n int64, err error) {
	from, length := s.data.size(), req.r.ContentLength
	if length > most-from {
		return 0, &http.MaxBytesError{Limit: most}
	}
	s.own.mu.Lock()
	s.own.whole, s.own.start = req.checksum != nil, from
	s.own.mu.Unlock()
	if c, ok := s.data.(interface{ follow(name string, size int64) }); ok {
		size := int64(-1)
		if !s.state.Deferred {
			size = s.state.Size
		}
		c.follow(s.name(), size)
	}
	n, err = s.receive(req, from, most, keep)
	s.state.Offset = s.data.size()
	if req.stop.Err() != nil && !req.body().ended {
		err = errTaken
	}
	return n, err
}

// kernelContent is a content to which the kernel can move the bytes of a connection.
type kernelContent interface {
	forKernel(n int64) (*os.File, *quota.Hold, error)
	moved(n int64)
}

func (s *session) receive(req *uploadRequest, from, most int64, keep bool) (int64, error) {
	to, direct := s.data.(kernelContent)
	if conn := kernelConn(req.r); direct && conn != nil && req.checksum == nil {
		file, hold, err := to.forKernel(req.r.ContentLength)
		if err != nil {
			return 0, err
		}
		k := kernelCopy{conn: conn, body: req.body(), file: file, left: req.r.ContentLength, hold: hold, early: writeback.New(s.u.set.sync, from),
			budget: s.u.set.budget, queue: s.u.set.queue}
		err = k.run(req.ctx, req.x)
		to.moved(k.n)
		return k.n, s.kept(err)
	}
	var sums io.Writer = io.Discard
	if req.checksum != nil {
		sums = req.checksum
	}
	in := clientReader{body: req.body(), budget: s.u.set.budget, queue: s.u.set.queue, keep: true, stop: req.stop}
	var into io.Writer = s.data
	// Bytes that are undone later must not be saved: a client could already know their
	// offset.
	if c, ok := s.data.(interface{ checkpoint() error }); ok && req.checksum == nil && (keep || req.r.ContentLength >= 0) {
		into = &saving{uploadContent: s.data, save: c.checkpoint}
	}
	err := in.copyTo(req.ctx, &capped{into, most - from}, sums, req.x)
	n := s.data.size() - from
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		err = &http.MaxBytesError{Limit: most}
		if !keep {
			return s.undo(from, err)
		}
	case req.checksum != nil && (err != nil || req.r.ContentLength >= 0 && n != req.r.ContentLength):
		return s.undo(from, err)
	case req.checksum != nil && !req.checksum.matches():
		return s.undo(from, req.checksum.mismatch)
	}
	return n, s.kept(err)
}

// kept brings bytes to stable storage if the client will be told that they have arrived. That
// is also so when it has broken off with err and asks for the offset.
func (s *session) kept(err error) error {
	if err != nil && !isBrokenOff(err) {
		return err
	}
	if ferr := s.data.flush(); ferr != nil {
		return ferr
	}
	return err
}

// capped is a writer that takes left more bytes.
type capped struct {
	io.Writer
	left int64
}

// Write writes the bytes that fit. The error for the rest is an *http.MaxBytesError.
func (c *capped) Write(p []byte) (int, error) {
	fits := min(int64(len(p)), c.left)
	n, err := c.Writer.Write(p[:fits])
	c.left -= int64(n)
	if err == nil && n < len(p) {
		err = &http.MaxBytesError{}
	}
	return n, err
}

// isBrokenOff reports whether a transfer has ended because its client has disconnected or
// stopped sending, or because another request has taken over.
func isBrokenOff(err error) bool {
	var stage *weir.StageError
	return errors.Is(err, errTaken) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) ||
		errors.As(err, &stage) && stage.Stage == "client" && !isPathError(err)
}

// undo removes the bytes of this request and returns cause, or its own error with the
// number of bytes that are still there.
func (s *session) undo(from int64, cause error) (int64, error) {
	if c, ok := s.data.(interface{ unfollow() }); ok {
		c.unfollow() // downloads that follow the upload can have sent these bytes
	}
	if err := s.data.cut(from); err != nil {
		return s.data.size() - from, err
	}
	return 0, cause
}

// name returns the name that the client wants for its file.
func (s *session) name() string { return wantedName(s.id, &s.state) }

// called sets the name of the file in the registry of transfers.
func (s *session) called(name string) {
	if s.own.req != nil {
		s.own.req.x.rename(name)
		s.own.req.x.names(name)
	}
}

func wantedName(id string, state *uploadState) string {
	return path.Join(state.Folder, cmp.Or(givenName(state), unnamedUpload+"-"+id))
}

// unnamedUpload is the name of a transfer while the name of its file is not known.
const unnamedUpload = "upload"

// shownName is wantedName for the registry of transfers. All users can see the names in it,
// so none contains the id of an upload: with that, anybody who may upload can interrupt it.
func shownName(state *uploadState) string {
	return path.Join(state.Folder, cmp.Or(givenName(state), unnamedUpload))
}

// givenName returns the name that the client has given its file, "" if none.
func givenName(state *uploadState) string {
	for _, key := range [...]string{"filename", "name"} {
		if name := names.Safe(state.Metadata[key]); name != "" {
			return name
		}
	}
	return ""
}

// finish gives the file its name. After an error the upload stays as it is, so that the
// client can try again or remove it. finish ends the session.
func (s *session) finish() (got Received, replaced bool, err error) {
	defer s.end()
	// The client has sent everything, so its disconnection does not matter any more.
	ctx := context.WithoutCancel(s.own.context())
	if err := s.check(); err != nil {
		if errors.Is(err, digest.ErrMismatch) { // no later request could repair it
			err = errors.Join(err, s.remove(ctx))
		}
		return Received{}, false, err
	}
	if !s.placing {
		n := s.data.size()
		if err := s.update(ctx, func(state *uploadState) {
			state.Phase, state.Size, state.Deferred = uploadPlacing, n, false
		}); err != nil {
			return Received{}, false, err
		}
	}
	got, replaced, err = s.data.finish(s.name(), s.u.set.rule(s.state.Terms), s.placing)
	if got.Name == "" {
		back := s.update(ctx, func(state *uploadState) { state.Phase = uploadArriving })
		if back != nil && !errors.Is(back, errTaken) {
			err = errors.Join(err, back)
		}
		return got, false, err
	}
	if err != nil {
		return got, replaced, err // the file has its name, which can be lost in a power cut
	}
	err = s.update(ctx, func(state *uploadState) {
		state.Phase, state.Size, state.Deferred = uploadDone, got.Size, false
	})
	if err != nil && !errors.Is(err, errTaken) {
		return got, replaced, err
	}
	s.called(got.Name)
	s.u.set.stored(got)
	return got, replaced, nil
}

// check compares the content with the digests of the whole file that the client has sent
// when it created the upload.
func (s *session) check() error {
	if len(s.state.Digests) == 0 {
		return nil
	}
	sums, err := digest.New(http.Header(s.state.Digests), nil, false)
	if err != nil || sums.IsEmpty() {
		return err
	}
	p := newPiece(1)
	defer p.free()
	if _, err := io.CopyBuffer(struct{ io.Writer }{sums}, struct{ io.Reader }{s.data.content()}, p.buf); err != nil {
		return fmt.Errorf("compute the digest of the upload: %w", err)
	}
	return sums.Check(nil)
}

// context returns the context of the request, if there is one.
func (o *owner) context() context.Context {
	if o.req == nil {
		return context.Background()
	}
	return o.req.r.Context()
}

// sweep removes uploads that no request has continued since before. It stops when ctx ends.
func (u *resumption) sweep(ctx context.Context, before time.Time) error {
	var releases []func() // of all claims, for a store that panics
	defer func() {
		for _, release := range releases {
			release()
		}
	}()
	return u.store.sweep(ctx, before, func(id string) (func(), bool) {
		own := &owner{done: make(chan struct{})}
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.owners[id] != nil {
			return nil, false
		}
		u.owners[id] = own
		release := sync.OnceFunc(func() { u.release(id, own) })
		releases = append(releases, release)
		return release, true
	})
}

// statusChecksum is the status 460 Checksum Mismatch of tus.
const statusChecksum = 460

var errChecksum = &refusal{statusChecksum, "The content does not match its checksum"}

// checksum is the digest that a client sends for one piece of a resumable upload, in
// Upload-Checksum or Content-Digest. A piece that does not match, or is incomplete, is not
// kept.
type checksum struct {
	*digest.Set
	r        *http.Request
	mismatch error // the error to answer with
}

// newChecksum returns nil if r has no checksum.
func newChecksum(r *http.Request) (*checksum, error) {
	header := make(http.Header)
	if lines := r.Header.Values("Content-Digest"); len(lines) > 0 {
		header["Content-Digest"] = lines
	}
	d, err := digest.New(header, r.Trailer, false)
	if err != nil {
		return nil, err
	}
	c := &checksum{d, r, digest.ErrMismatch}
	if s := r.Header.Get("Upload-Checksum"); s != "" {
		if err := d.AddChecksum(s); err != nil {
			return nil, err
		}
		c.mismatch = errChecksum
	}
	if d.IsEmpty() {
		return nil, nil
	}
	return c, nil
}

func (c *checksum) matches() bool { return c.Check(c.r.Trailer) == nil }
