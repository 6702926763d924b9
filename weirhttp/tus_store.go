package weirhttp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/tus/tusd/v2/pkg/handler"
)

// tusStore keeps resumable uploads in the hidden folder: the bytes that have
// come in a file called like the upload, and what is known of it in another one.
// How far an upload has come is the length of its file, so that it outlives the
// server whatever ends that.
type tusStore struct {
	d *folder

	mu    sync.Mutex       // guards holds
	holds map[string]*hold // of the uploads that are pending
}

func newTusStore(d *folder) *tusStore { return &tusStore{d: d, holds: make(map[string]*hold)} }

// A pending upload costs two files and some memory, whatever its quota says of
// its bytes: both are bounded.
const (
	mostPending  = 10_000
	mostMetadata = 4 << 10
)

var errPending = fmt.Errorf("%w: %d resumable uploads are pending", errNoSpace, mostPending)

const (
	tusIDLength   = 26
	tusRecordName = ".json"
)

func newTusID() string { return strings.ToLower(rand.Text()) }

// isTusID reports whether s could be of newTusID: nothing else becomes part of a
// file name.
func isTusID(s string) bool {
	return len(s) == tusIDLength && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func tusData(id string) string   { return hiddenDir + "/" + id }
func tusRecord(id string) string { return hiddenDir + "/" + id + tusRecordName }

// tusState is how far an upload has come on its way to its final name.
type tusState string

const (
	tusArriving tusState = ""
	tusPlacing  tusState = "placing" // it is whole, and may have its name already
	tusDone     tusState = "done"    // it has its name; a client that missed the answer may ask
)

// tusInfo is what the second file of an upload holds.
type tusInfo struct {
	Size     int64             `json:"size"`
	Deferred bool              `json:"deferred,omitempty"` // Size is not known yet
	Metadata map[string]string `json:"metadata,omitempty"`
	State    tusState          `json:"state,omitempty"`
	terms
}

// tusUpload is an upload in one request, which tusd has locked it for.
type tusUpload struct {
	s      *tusStore
	id     string
	info   tusInfo
	offset int64
	broken bool // what this request brought was refused, or not all of it came
}

// NewUpload makes room for an upload and creates its files.
func (s *tusStore) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return nil, err
	}
	up := &tusUpload{s: s, id: newTusID(), info: tusInfo{
		Size: info.Size, Deferred: info.SizeIsDeferred, Metadata: info.MetaData,
		terms: termsOf(req.r.Header),
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
	return up, nil
}

// enter makes room for an upload of n bytes.
func (s *tusStore) enter(id string, n int64) error {
	h, err := s.d.ledger.take(n)
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
		h.release()
		return errPending
	}
	return nil
}

func (up *tusUpload) create() error {
	root := up.s.d.root
	if err := root.Mkdir(hiddenDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
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

// save writes what is known of the upload, whole or not at all.
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
	if err == nil && up.s.d.u.Sync {
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

// remove takes away the files of the upload. The record goes first: without its
// bytes it would be that of an upload that has its name.
func (up *tusUpload) remove() error {
	for _, name := range [...]string{tusRecord(up.id), tusRecord(up.id) + ".new", tusData(up.id)} {
		if err := up.s.d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// GetUpload finds an upload. One that is whole but has no name yet, because the
// server ended just then or the name was taken, gets it now, unless it is to be
// removed. Where that fails the client is told why: an offset equal to the
// length would say that the file is stored.
func (s *tusStore) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return nil, err
	}
	up, err := s.load(id)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
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

// holdOf returns the room of an upload.
func (s *tusStore) holdOf(id string) *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds[id] == nil {
		s.holds[id] = s.d.ledger.adopt(0, 0)
	}
	return s.holds[id]
}

func (s *tusStore) dropHold(id string) {
	s.mu.Lock()
	h := s.holds[id]
	delete(s.holds, id)
	s.mu.Unlock()
	if h != nil {
		h.release()
	}
}

// adopt makes room for what an earlier process has begun.
func (s *tusStore) adopt() error {
	ids, err := s.list()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if up, err := s.load(id); err == nil && up.info.State != tusDone {
			s.holds[id] = s.d.ledger.adopt(max(up.info.Size, up.offset), up.offset)
		}
	}
	return nil
}

// list returns the ids of all uploads that have any file.
func (s *tusStore) list() ([]string, error) {
	entries, err := fs.ReadDir(s.d.root.FS(), hiddenDir)
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

// failed makes an error of the store one that tusd answers with, keeps it for the
// registry, and logs what is the server's own fault.
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
		s.d.u.log().Log(context.Background(), failureLevel(status), "upload failed", "status", status, "error", err)
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

// GetReader is not of use: what has come is not read before it is whole.
func (up *tusUpload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}
