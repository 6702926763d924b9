package weirhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"

	"github.com/weir-go/weir"
)

// GetInfo tells tusd how far the upload has come.
func (up *tusUpload) GetInfo(context.Context) (handler.FileInfo, error) {
	return handler.FileInfo{
		ID: up.id, Size: up.info.Size, SizeIsDeferred: up.info.Deferred,
		Offset: up.offset, MetaData: up.info.Metadata,
	}, nil
}

// WriteChunk appends what one request brings. tusd's src ends early rather than
// fail, so that what has come is kept, unless the client sent a checksum.
func (up *tusUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return 0, err
	}
	f, err := up.s.d.root.OpenFile(tusData(up.id), os.O_WRONLY, 0)
	if err != nil {
		return 0, up.s.failed(ctx, fmt.Errorf("open the file of the upload: %w", err))
	}
	c := &tusChunk{f: f, hold: up.s.holdOf(up.id), most: up.most(), offset: offset}
	n, err := c.take(req.ctx, up.s.d.u, req, src)
	if errors.Is(context.Cause(req.ctx), errInterrupted) && !req.r.Body.(*requestBody).ended {
		err = errInterrupted
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	up.offset = offset + n
	if err != nil {
		up.broken = true
		err = up.s.failed(ctx, err)
	}
	return n, err
}

// most returns how long the file may become.
func (up *tusUpload) most() int64 {
	most := int64(math.MaxInt64)
	if m := up.s.d.u.MaxSize; m > 0 {
		most = m
	}
	if !up.info.Deferred {
		most = min(most, up.info.Size)
	}
	return most
}

// tusChunk is the file of an upload while one request adds to it.
type tusChunk struct {
	f      *os.File
	hold   *hold
	most   int64 // largest file
	offset int64
	n      int64
}

func (c *tusChunk) Write(p []byte) (int, error) {
	if int64(len(p)) > c.most-c.offset-c.n {
		return 0, &http.MaxBytesError{Limit: c.most}
	}
	if err := c.hold.need(c.offset + c.n + int64(len(p))); err != nil {
		return 0, err
	}
	n, err := c.f.WriteAt(p, c.offset+c.n)
	c.n += int64(n)
	c.hold.wrote(int64(n))
	return n, err
}

func (c *tusChunk) take(ctx context.Context, u *Uploads, req *tusRequest, src io.Reader) (int64, error) {
	// tusd adds this length to the offset, whatever comes out, and forgets its
	// MaxSize where the length of the file is not known yet and that of the
	// request is.
	if req.r.ContentLength > c.most-c.offset {
		return 0, &http.MaxBytesError{Limit: c.most}
	}
	if conn := kernelConn(req.r); conn != nil && req.checksum == nil {
		return c.takeByKernel(ctx, u, req, conn, src)
	}
	body := &requestBody{
		body: io.NopCloser(src), length: req.r.ContentLength,
		rc: req.r.Body.(*requestBody).rc, stall: u.stall(),
	}
	var sums io.Writer = io.Discard
	if req.checksum != nil {
		sums = req.checksum
	}
	err := u.copy(ctx, c, body, sums, req.x)
	if err == nil && req.r.Body.(*requestBody).slow { // which tusd takes for the end of the request
		err = fromClient(errLate)
	}
	if err == nil && req.r.Body.(*requestBody).n > c.n {
		// tusd ends src where the file ends, and looks at one byte more.
		if err := c.undo(); err != nil {
			return c.n, err
		}
		return 0, &http.MaxBytesError{Limit: c.most}
	}
	if req.checksum != nil {
		whole := err == nil && (req.r.ContentLength < 0 || c.n == req.r.ContentLength)
		if !whole || !req.checksum.right() {
			if terr := c.undo(); terr != nil {
				return c.n, terr
			}
			if whole {
				err = req.checksum.wrong
			}
			return 0, err
		}
	}
	if err == nil && u.Sync {
		err = c.f.Sync()
	}
	return c.n, err
}

// takeByKernel is take for what need not pass through the process.
func (c *tusChunk) takeByKernel(ctx context.Context, u *Uploads, req *tusRequest, conn net.Conn, src io.Reader) (int64, error) {
	if _, err := c.f.Seek(c.offset, io.SeekStart); err != nil {
		return 0, fmt.Errorf("go on with the upload: %w", err)
	}
	if err := c.hold.need(c.offset + req.r.ContentLength); err != nil {
		return 0, err
	}
	body := req.r.Body.(*requestBody)
	k := kernelCopy{conn: conn, body: body, first: src, file: c.f, left: req.r.ContentLength, hold: c.hold, early: newEarlyFlush(u.Sync, c.offset),
		budget: u.Budget, queue: u.Queue}
	err := k.run(ctx, req.x)
	c.n = k.n
	if err == nil && u.Sync {
		err = c.f.Sync()
	}
	return c.n, err
}

// undo takes away what this request has brought.
func (c *tusChunk) undo() error {
	if err := c.f.Truncate(c.offset); err != nil {
		return fmt.Errorf("take back a piece of the upload: %w", err)
	}
	c.hold.wrote(-c.n)
	c.n = 0
	return nil
}

// DeclareLength says how long an upload will be whose length was not known.
func (up *tusUpload) DeclareLength(ctx context.Context, n int64) error {
	if err := up.s.holdOf(up.id).need(n); err != nil {
		return up.s.failed(ctx, err)
	}
	up.info.Size, up.info.Deferred = n, false
	if err := up.save(); err != nil {
		return up.s.failed(ctx, err)
	}
	return nil
}

// Terminate removes the upload. A file that has its name stays.
func (up *tusUpload) Terminate(ctx context.Context) error {
	if err := up.remove(); err != nil {
		return up.s.failed(ctx, fmt.Errorf("remove the upload: %w", err))
	}
	up.s.dropHold(up.id)
	return nil
}

// FinishUpload gives the file its name.
func (up *tusUpload) FinishUpload(ctx context.Context) error {
	// tusd asks for it also when the last piece has failed, and tells that.
	if up.info.State == tusDone || up.broken {
		return nil
	}
	if err := up.finish(); err != nil {
		return up.s.failed(ctx, err)
	}
	return nil
}

// name returns the name that the client wants for its file.
func (up *tusUpload) name() string {
	for _, key := range [...]string{"filename", "name"} {
		if name := SafeName(up.info.Metadata[key]); name != "" {
			return name
		}
	}
	return "upload-" + up.id
}

// rule says what becomes of a file whose name is taken.
func (up *tusUpload) rule() rule { return up.s.d.u.rule(up.info.terms) }

// mayBegin refuses an upload that could not get its name if it was whole now,
// and one with more to remember than is kept of it.
func (up *tusUpload) mayBegin() error {
	n := len(up.info.Match) + len(up.info.NoneMatch)
	for key, value := range up.info.Metadata {
		n += len(key) + len(value)
	}
	if n > mostMetadata {
		return &refusal{http.StatusRequestEntityTooLarge, "The metadata is larger than " + weir.FormatBytes(mostMetadata)}
	}
	_, err := up.s.d.allows(up.name(), up.rule())
	return err
}

func (up *tusUpload) finish() error {
	d := up.s.d
	want := up.name()
	name := up.placed(want)
	if name == "" {
		up.info.State = tusPlacing
		if err := up.save(); err != nil {
			return err
		}
		var err error
		if name, err = up.place(want); err != nil {
			return err
		}
	}
	if d.u.Sync {
		if err := d.syncNames(); err != nil {
			return err
		}
	}
	up.info.State = tusDone
	up.info.Deferred, up.info.Size = false, up.offset
	if err := up.save(); err != nil {
		return err
	}
	up.s.dropHold(up.id)
	d.u.done(Received{Name: name, Size: up.offset})
	return nil
}

func (up *tusUpload) place(want string) (name string, err error) {
	d := up.s.d
	if d.u.Sync {
		if err := up.sync(); err != nil {
			return "", err
		}
	}
	size, err := up.size()
	if err != nil {
		return "", err
	}
	up.offset = size
	err = up.s.holdOf(up.id).publish(func() (int64, error) {
		var was int64
		var err error
		name, was, err = d.place(tusData(up.id), want, up.rule())
		return size - max(was, 0), err
	})
	if err != nil {
		return "", fmt.Errorf("give the upload its name: %w", err)
	}
	return name, nil
}

// sync brings the bytes to stable storage that an earlier process, or a piece
// that broke off, has left in memory.
func (up *tusUpload) sync() error {
	f, err := up.s.d.root.OpenFile(tusData(up.id), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the file of the upload: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

func (up *tusUpload) size() (int64, error) {
	st, err := up.s.d.root.Lstat(tusData(up.id))
	if err != nil {
		return 0, fmt.Errorf("find the bytes of the upload: %w", err)
	}
	return st.Size(), nil
}

// placed returns the name that an earlier process gave the file before it ended
// in between, and takes away the other one.
func (up *tusUpload) placed(want string) string {
	root := up.s.d.root
	if up.info.State != tusPlacing {
		return ""
	}
	mine, err := root.Lstat(tusData(up.id))
	if err != nil {
		return ""
	}
	for n := 1; n <= mostNumbered; n++ {
		name := numbered(want, n)
		other, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		if err == nil && os.SameFile(mine, other) {
			if root.Remove(tusData(up.id)) != nil {
				return ""
			}
			return name
		}
	}
	return ""
}

// expireOld removes uploads that nobody has gone on with since before.
func (t *tusHandler) expireOld(before time.Time) error {
	ids, err := t.store.list()
	for _, id := range ids {
		if uerr := t.expire(id, before); uerr != nil {
			err = errors.Join(err, uerr)
		}
	}
	return err
}

func (t *tusHandler) expire(id string, before time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[id] > 0 {
		return nil
	}
	for _, name := range [...]string{tusData(id), tusRecord(id)} {
		if st, err := t.d.root.Lstat(name); err == nil && !st.ModTime().Before(before) {
			return nil
		}
	}
	up := &tusUpload{s: t.store, id: id}
	if err := up.remove(); err != nil {
		return err
	}
	t.store.dropHold(id)
	return nil
}
