package weirhttp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/tus/tusd/v2/pkg/handler"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/precondition"
	"github.com/weir-go/weir/weirhttp/internal/quota"
	"github.com/weir-go/weir/weirhttp/internal/writeback"
)

// tusStore keeps resumable uploads in the hidden folder. The bytes that have arrived are in a
// file with the id of the upload as its name; a second file, the record, holds the rest.
// The length of the first file says how far the upload has come, so that a crash of the
// server does not matter.
type tusStore struct {
	d *folder

	mu    sync.Mutex             // guards holds
	holds map[string]*quota.Hold // of the pending uploads
}

func newTusStore(d *folder) *tusStore { return &tusStore{d: d, holds: make(map[string]*quota.Hold)} }

// A pending upload costs two files and some memory, which Quota does not count. These
// limit both.
const (
	mostPending  = 10_000
	mostMetadata = 4 << 10
)

var errPending = fmt.Errorf("%w: %d resumable uploads are pending", quota.ErrNoSpace, mostPending)

const (
	tusIDLength   = 26
	tusRecordName = ".json"
)

func newTusID() string { return strings.ToLower(rand.Text()) }

// isTusID reports whether s has the form of newTusID. Nothing else becomes part of a file
// name.
func isTusID(s string) bool {
	return len(s) == tusIDLength && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func tusData(id string) string { return names.UploadsDir + "/" + id }

func tusRecord(id string) string { return names.UploadsDir + "/" + id + tusRecordName }

// tusState is how far an upload is from its final name.
type tusState string

const (
	tusArriving tusState = ""
	tusPlacing  tusState = "placing" // it is complete, and has its name or is about to get it
	tusDone     tusState = "done"    // it has its name; a client that missed the answer can still ask
)

// tusInfo is the content of a record, as JSON.
type tusInfo struct {
	Size     int64             `json:"size"`
	Deferred bool              `json:"deferred,omitempty"` // Size is unknown yet
	Metadata map[string]string `json:"metadata,omitempty"`
	State    tusState          `json:"state,omitempty"`
	precondition.Terms
}

// tusUpload is an upload during one request, for which tusd has locked it.
type tusUpload struct {
	s      *tusStore
	x      *transfer // of the request; nil: none
	id     string
	info   tusInfo
	offset int64
	broken bool // the bytes of this request were refused
}

// NewUpload reserves space for an upload and creates its files.
func (s *tusStore) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return nil, err
	}
	up := &tusUpload{s: s, id: newTusID(), x: req.x, info: tusInfo{
		Size: info.Size, Deferred: info.SizeIsDeferred, Metadata: info.MetaData,
		Terms: precondition.Of(req.r.Header),
	}}
	if err := up.mayBegin(); err != nil {
		return nil, s.failed(ctx, err)
	}
	if err := s.enter(up.id, max(info.Size, 0)); err != nil {
		return nil, s.failed(ctx, err)
	}
	if err := up.create(); err != nil {
		up.remove()
		s.dropHold(up.id)
		return nil, s.failed(ctx, err)
	}
	req.created = up
	up.x.names(up.name())
	return up, nil
}

// enter reserves space for an upload of n bytes.
func (s *tusStore) enter(id string, n int64) error {
	h, err := s.d.ledger.Take(n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	full := len(s.holds) >= mostPending
	if !full {
		s.holds[id] = h
	}
	s.mu.Unlock()
	if full {
		h.Release()
		return errPending
	}
	return nil
}

func (up *tusUpload) create() error {
	root := up.s.d.root
	if err := root.Mkdir(names.UploadsDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create the folder for resumable uploads: %w", err)
	}
	f, err := root.OpenFile(tusData(up.id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("create a file for the upload: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return up.save()
}

// save writes the record of the upload, whole or not at all.
func (up *tusUpload) save() error {
	data, err := json.Marshal(up.info)
	if err != nil {
		return err
	}
	root, temp := up.s.d.root, tusRecord(up.id)+".new"
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("save the state of the upload: %w", err)
	}
	_, err = f.Write(data)
	if err == nil && up.s.d.set.sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("save the state of the upload: %w", err)
	}
	if err := root.Rename(temp, tusRecord(up.id)); err != nil {
		return fmt.Errorf("save the state of the upload: %w", err)
	}
	return nil
}

// remove removes the files of the upload. The record goes first: a record without bytes
// would be that of an upload that has got its name.
func (up *tusUpload) remove() error {
	for _, name := range [...]string{tusRecord(up.id), tusRecord(up.id) + ".new", tusData(up.id)} {
		if err := up.s.d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// GetUpload finds an upload. If the upload is complete but has no name yet, because the
// server stopped at that moment or the name was taken, GetUpload gives it its name, except
// before a DELETE. If that fails the client gets the error: an offset equal to the length
// would say that the file is stored.
func (s *tusStore) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return nil, err
	}
	up, err := s.load(id)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	up.x = req.x
	up.x.names(up.name())
	if req.method != http.MethodDelete && up.info.State != tusDone && !up.info.Deferred && up.offset == up.info.Size {
		if err := up.finish(); err != nil {
			return nil, s.failed(ctx, err)
		}
	}
	return up, nil
}

func (s *tusStore) load(id string) (*tusUpload, error) {
	if !isTusID(id) {
		return nil, handler.ErrNotFound
	}
	up := &tusUpload{s: s, id: id}
	data, err := s.d.root.ReadFile(tusRecord(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, handler.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of the upload: %w", err)
	}
	if err := json.Unmarshal(data, &up.info); err != nil {
		return nil, fmt.Errorf("read the state of upload %s: %w", id, err)
	}
	st, err := s.d.root.Lstat(tusData(id))
	switch {
	case up.info.State == tusDone, errors.Is(err, fs.ErrNotExist) && up.info.State == tusPlacing:
		up.info.State, up.offset = tusDone, up.info.Size
	case errors.Is(err, fs.ErrNotExist):
		return nil, handler.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("find the bytes of the upload: %w", err)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("upload %s is not a regular file: %w", id, fs.ErrInvalid)
	default:
		up.offset = st.Size()
	}
	return up, nil
}

// holdOf returns the space reserved for an upload.
func (s *tusStore) holdOf(id string) *quota.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds[id] == nil {
		s.holds[id] = s.d.ledger.Adopt(0, 0)
	}
	return s.holds[id]
}

func (s *tusStore) dropHold(id string) {
	s.mu.Lock()
	h := s.holds[id]
	delete(s.holds, id)
	s.mu.Unlock()
	if h != nil {
		h.Release()
	}
}

// adopt reserves space for uploads that an earlier process began.
func (s *tusStore) adopt() error {
	ids, err := s.list()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if up, err := s.load(id); err == nil && up.info.State != tusDone {
			s.holds[id] = s.d.ledger.Adopt(max(up.info.Size, up.offset), up.offset)
		}
	}
	return nil
}

// list returns the ids of all uploads that have at least one file.
func (s *tusStore) list() ([]string, error) {
	entries, err := fs.ReadDir(s.d.root.FS(), names.UploadsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the resumable uploads: %w", err)
	}
	var ids []string
	seen := make(map[string]bool)
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), ".")
		if isTusID(id) && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// failed turns an error of the store into one that tusd answers with. It keeps err for the
// registry of transfers, and logs it if the server is to blame.
func (s *tusStore) failed(ctx context.Context, err error) error {
	if req, rerr := tusRequestOf(ctx); rerr == nil {
		req.cause = err
	}
	var known handler.Error
	if errors.As(err, &known) {
		return err
	}
	status, text := uploadStatus(err)
	if status >= http.StatusInternalServerError {
		s.d.set.log.Log(context.Background(), failureLevel(status), "upload failed", "status", status, "error", err)
	}
	return handler.NewError("ERR_UPLOAD", text, status)
}

// AsTerminatableUpload is for tusd.
func (s *tusStore) AsTerminatableUpload(up handler.Upload) handler.TerminatableUpload {
	return up.(*tusUpload)
}

// AsLengthDeclarableUpload is for tusd.
func (s *tusStore) AsLengthDeclarableUpload(up handler.Upload) handler.LengthDeclarableUpload {
	return up.(*tusUpload)
}

// GetReader is not supported: nothing reads an upload before it is complete.
func (up *tusUpload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}

// GetInfo tells tusd how far the upload has come.
func (up *tusUpload) GetInfo(context.Context) (handler.FileInfo, error) {
	return handler.FileInfo{
		ID: up.id, Size: up.info.Size, SizeIsDeferred: up.info.Deferred,
		Offset: up.offset, MetaData: up.info.Metadata,
	}, nil
}

// WriteChunk appends the bytes of one request. It reads them from the body itself, not from
// tusd's reader around it. That reader ends early where the body fails, and returns the
// failure to tusd only.
func (up *tusUpload) WriteChunk(ctx context.Context, offset int64, _ io.Reader) (int64, error) {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return 0, err
	}
	f, err := up.s.d.root.OpenFile(tusData(up.id), os.O_WRONLY, 0)
	if err != nil {
		return 0, up.s.failed(ctx, fmt.Errorf("open the file of the upload: %w", err))
	}
	c := &tusChunk{f: f, set: up.s.d.set, hold: up.s.holdOf(up.id), most: up.most(), offset: offset}
	n, err := c.take(req)
	if req.stop.Err() != nil && !req.body().ended {
		err = errInterrupted
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	up.offset = offset + n
	if err != nil {
		up.broken = !c.kept
		err = up.s.failed(ctx, err)
	}
	return n, err
}

// most returns how long the file can become.
func (up *tusUpload) most() int64 {
	most := int64(math.MaxInt64)
	if m := up.s.d.set.maxSize; m > 0 {
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
	set    *settings
	hold   *quota.Hold
	most   int64 // largest file
	offset int64
	n      int64
	kept   bool // the client broke off, and the bytes before that are kept
}

func (c *tusChunk) Write(p []byte) (int, error) {
	if int64(len(p)) > c.most-c.offset-c.n {
		return 0, &http.MaxBytesError{Limit: c.most}
	}
	if err := c.hold.Need(c.offset + c.n + int64(len(p))); err != nil {
		return 0, err
	}
	n, err := c.f.WriteAt(p, c.offset+c.n)
	c.n += int64(n)
	c.hold.Wrote(int64(n))
	return n, err
}

// take appends the body of the request, and returns how many bytes of it are kept.
func (c *tusChunk) take(req *tusRequest) (int64, error) {
	length := req.r.ContentLength
	// tusd does not check its MaxSize if the length of the request is known and that of
	// the file is not.
	if length > c.most-c.offset {
		return 0, &http.MaxBytesError{Limit: c.most}
	}
	if conn := kernelConn(req.r); conn != nil && req.checksum == nil {
		return c.takeByKernel(req, conn)
	}
	body := req.body()
	if length < 0 && c.most < math.MaxInt64 {
		body.limit = c.most - c.offset
	}
	var sums io.Writer = io.Discard
	if req.checksum != nil {
		sums = req.checksum
	}
	from := clientReader{body: body, budget: c.set.budget, queue: c.set.queue, keep: true, stop: req.stop}
	err := from.copyTo(req.ctx, c, sums, req.x)
	c.kept = from.broken != nil
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		c.kept = false
		return c.undo(&http.MaxBytesError{Limit: c.most})
	case req.checksum != nil && (err != nil || length >= 0 && c.n != length):
		c.kept = false
		return c.undo(err)
	case req.checksum != nil && !req.checksum.matches():
		return c.undo(req.checksum.mismatch)
	}
	if err == nil && c.set.sync {
		err = c.f.Sync()
	}
	return c.n, err
}

// takeByKernel is take for bytes that need not pass through the process.
func (c *tusChunk) takeByKernel(req *tusRequest, conn net.Conn) (int64, error) {
	if _, err := c.f.Seek(c.offset, io.SeekStart); err != nil {
		return 0, fmt.Errorf("continue the upload: %w", err)
	}
	if err := c.hold.Need(c.offset + req.r.ContentLength); err != nil {
		return 0, err
	}
	k := kernelCopy{conn: conn, body: req.body(), file: c.f, left: req.r.ContentLength, hold: c.hold, early: writeback.New(c.set.sync, c.offset),
		budget: c.set.budget, queue: c.set.queue}
	err := k.run(req.ctx, req.x)
	c.n = k.n
	if err == nil && c.set.sync {
		err = c.f.Sync()
	}
	return c.n, err
}

// undo removes the bytes of this request and returns cause, or its own error with the number
// of bytes that are still there.
func (c *tusChunk) undo(cause error) (int64, error) {
	if err := c.f.Truncate(c.offset); err != nil {
		return c.n, fmt.Errorf("remove a refused part of the upload: %w", err)
	}
	c.hold.Wrote(-c.n)
	c.n = 0
	return 0, cause
}

// DeclareLength sets the length of an upload that was created without one.
func (up *tusUpload) DeclareLength(ctx context.Context, n int64) error {
	if err := up.s.holdOf(up.id).Need(n); err != nil {
		return up.s.failed(ctx, err)
	}
	up.info.Size, up.info.Deferred = n, false
	if err := up.save(); err != nil {
		return up.s.failed(ctx, err)
	}
	return nil
}

// Terminate removes the upload. If the file has its final name, it stays.
func (up *tusUpload) Terminate(ctx context.Context) error {
	if err := up.remove(); err != nil {
		return up.s.failed(ctx, fmt.Errorf("remove the upload: %w", err))
	}
	up.s.dropHold(up.id)
	return nil
}

// FinishUpload gives the file its name.
func (up *tusUpload) FinishUpload(ctx context.Context) error {
	// tusd calls this even if the last piece has failed, and then reports that failure.
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
		if name := names.Safe(up.info.Metadata[key]); name != "" {
			return name
		}
	}
	return "upload-" + up.id
}

// rule says under which conditions the upload gets its name.
func (up *tusUpload) rule() rule { return up.s.d.set.rule(up.info.Terms) }

// mayBegin refuses an upload that could not get its name if it was complete now, and one
// with too much metadata.
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
	if d.set.sync {
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
	up.x.names(name)
	d.set.stored(Received{Name: name, Size: up.offset})
	return nil
}

func (up *tusUpload) place(want string) (name string, err error) {
	d := up.s.d
	if d.set.sync {
		if err := up.sync(); err != nil {
			return "", err
		}
	}
	size, err := up.size()
	if err != nil {
		return "", err
	}
	up.offset = size
	err = up.s.holdOf(up.id).Publish(func() (int64, error) {
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

// sync writes the bytes to stable storage. Some of them can be from an earlier process, or
// from a request that broke off.
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

// placed returns the final name if an earlier process gave it to the file and then stopped,
// and removes the temporary one. Otherwise it returns "".
func (up *tusUpload) placed(want string) string {
	root := up.s.d.root
	if up.info.State != tusPlacing {
		return ""
	}
	mine, err := root.Lstat(tusData(up.id))
	if err != nil {
		return ""
	}
	for n := 1; n <= names.MostNumbered; n++ {
		name := names.Numbered(want, n)
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
