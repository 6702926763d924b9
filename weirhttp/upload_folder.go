package weirhttp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
	"github.com/weir-go/weir/weirhttp/internal/precondition"
	"github.com/weir-go/weir/weirhttp/internal/quota"
	"github.com/weir-go/weir/weirhttp/internal/writeback"
)

// settings are the fields of an Uploads that its folder and the uploads in it need.
type settings struct {
	dir        string
	maxSize    int64
	quota      int64
	minFree    int64
	overwrite  bool
	sync       bool
	showDigest bool
	stall      time.Duration
	expire     time.Duration // as in Uploads
	budget     *weir.Budget
	queue      time.Duration
	log        *slog.Logger
	done       func(Received) // can be nil
	url        string
	maxRequest int64
	minRequest int64
	folders    bool

	folderOf func(*http.Request) (string, error) // see folder.folderOf
}

// expiry returns after how long a resumable upload expires. It reports false if it never
// does.
func (s *settings) expiry() (after time.Duration, ok bool) {
	return cmp.Or(s.expire, 24*time.Hour), s.expire >= 0
}

// limits returns the value of Upload-Limit. lifetime is the name of the limit for how long
// an upload waits for its client, "" if there is none in a version of the protocol.
func (s *settings) limits(lifetime string) string {
	var list []string
	add := func(name string, n int64) { list = append(list, fmt.Sprintf("%s=%d", name, n)) }
	if s.maxSize > 0 {
		add("max-size", s.maxSize)
	}
	if s.maxRequest > 0 {
		add("max-append-size", s.maxRequest)
	}
	if s.minRequest > 0 {
		add("min-append-size", s.minRequest)
	}
	if after, ok := s.expiry(); ok && lifetime != "" {
		add(lifetime, int64(after/time.Second))
	}
	if len(list) == 0 {
		add("min-size", 0) // says that uploads are resumable, and limits nothing
	}
	return strings.Join(list, ", ")
}

// answer tells the client what was stored. name is the name of the file, or of the first one.
func (s *settings) answer(w http.ResponseWriter, r *http.Request, status int, name string, what any) {
	h := w.Header()
	if h.Get("Location") == "" && s.url != "" {
		h.Set("Location", s.location(name))
	}
	s.answerJSON(w, r, status, what)
}

// answerJSON answers with a value as JSON.
func (s *settings) answerJSON(w http.ResponseWriter, r *http.Request, status int, what any) {
	body, err := json.Marshal(what)
	if err != nil {
		s.log.Error("cannot encode the answer to an upload", "error", err)
		return
	}
	body = append(body, '\n')
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	closeBehind(h, r)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body) // if the client has disconnected, its file is stored all the same
	}
}

// location returns the URL of the file called name. The settings have a URL.
func (s *settings) location(name string) string {
	return strings.TrimSuffix(s.url, "/") + "/" + strings.ReplaceAll(url.PathEscape(name), "%2F", "/")
}

// refuse answers an upload that failed, and logs it.
func (s *settings) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, text := s.failure(w.Header(), r, err)
	refuse(w, r, status, text)
}

// failure logs an upload that failed. It returns the status and the text for the client,
// and sets the header fields that belong to the status.
func (s *settings) failure(h http.Header, r *http.Request, err error) (status int, text string) {
	status, text = uploadStatus(err)
	s.log.Log(r.Context(), failureLevel(status), "upload failed", "status", status, "error", err, "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr)
	switch status {
	case http.StatusServiceUnavailable:
		tellRetry(h, budget.RetryAfter(s.queue))
	case http.StatusUnsupportedMediaType:
		h.Set("Accept-Encoding", "identity")
	}
	return status, text
}

// stored reports a file that was stored.
func (s *settings) stored(got Received) {
	s.log.Debug("upload stored", "name", got.Name, "size", got.Size)
	if s.done != nil {
		s.done(got)
	}
}

// Received is a file that was stored.
type Received struct {
	Name   string `json:"name"`             // in the folder
	Size   int64  `json:"size"`             // bytes
	SHA256 string `json:"sha256,omitempty"` // hexadecimal; unknown for resumable uploads
}

// folder is the folder of an Uploads while it is open.
type folder struct {
	set    *settings
	root   *os.Root
	dir    *os.File // the folder itself
	ledger quota.Ledger
	sweep  sweeper
	expire func(before time.Time) error // removes resumable uploads

	mu   sync.Mutex          // guards live
	live map[string]struct{} // temporary files that are being written
}

func openFolder(set *settings) (*folder, error) {
	root, err := os.OpenRoot(set.dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder for uploads: %w", err)
	}
	dir, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("open the folder for uploads: %w", err)
	}
	d := &folder{set: set, root: root, dir: dir, live: make(map[string]struct{})}
	d.ledger.Root, d.ledger.Live, d.ledger.Quota, d.ledger.Spare = root, d.isLive, set.quota, set.minFree
	d.ledger.Free = func() (int64, error) { return quota.FreeSpace(dir) }
	set.folderOf = d.folderOf
	return d, nil
}

// begin starts to remove the files of killed processes, and resumable uploads that have
// expired, by calling expire. The first request does not wait for that.
func (d *folder) begin(expire func(before time.Time) error) {
	d.sweep.runs.Go(func() { atomicfile.Sweep(d.root) })
	d.expire = expire
	d.sweep.log, d.sweep.remove = d.set.log, d.removeOld
	if after, ok := d.set.expiry(); ok {
		d.sweep.after(0, after)
	}
}

// close waits for the sweeper and closes the folder. No request may use it any more.
func (d *folder) close() error {
	d.sweep.end()
	arriving.drop(d.root)
	return errors.Join(d.dir.Close(), d.root.Close())
}

// createTemp creates a temporary file and locks it. The lock keeps sweeps from removing it
// as a file of a killed process.
func (d *folder) createTemp() (*os.File, string, error) {
	name := ""
	f, err := atomicfile.Temp(func() (*os.File, error) {
		d.forget(name) // the name of the attempt before
		name = atomicfile.TempName("upload")
		d.mu.Lock()
		d.live[name] = struct{}{}
		d.mu.Unlock()
		return d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	}, func(string) (fs.FileInfo, error) { return d.root.Lstat(name) })
	if err != nil {
		d.forget(name)
		return nil, "", fmt.Errorf("create a file for the upload: %w", err)
	}
	return f, name, nil
}

func (d *folder) forget(temp string) {
	d.mu.Lock()
	delete(d.live, temp)
	d.mu.Unlock()
}

func (d *folder) isLive(temp string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.live[temp]
	return ok
}

// mostFolders is how many folders the path of an upload can have.
const mostFolders = 50

// folderOf returns the path of the folder that a request chooses, "" for d itself.
func (d *folder) folderOf(r *http.Request) (string, error) {
	return chosenFolder(d.set.folders, r, func(dir, name string) (isFolder, exists bool) {
		if !filepath.IsLocal(name) {
			return false, false
		}
		info, err := d.root.Stat(path.Join(dir, name))
		return err == nil && info.IsDir(), err == nil
	})
}

// chosenFolder returns the path of the folder that a request chooses, if it may choose, and
// "" for the root. A folder that exists keeps its name; the names of others are made safe.
// stat looks up a name in a folder.
func chosenFolder(allowed bool, r *http.Request, stat func(dir, name string) (isFolder, exists bool)) (string, error) {
	if !allowed {
		return "", nil
	}
	at := ""
	for n, name := range strings.FieldsFunc(r.URL.Query().Get("folder"), func(r rune) bool { return r == '/' }) {
		safe := names.Safe(name)
		if safe == "" || n == mostFolders || names.Withheld(name, false) {
			return "", errNoFolder
		}
		if safe != name {
			if isFolder, _ := stat(at, name); isFolder {
				safe = name
			}
		}
		if isFolder, exists := stat(at, safe); exists && !isFolder {
			return "", errFileThere
		}
		at = path.Join(at, safe)
	}
	return at, nil
}

var (
	errNoFolder  = &refusal{http.StatusBadRequest, "There can be no folder of this name"}
	errFileThere = &refusal{http.StatusConflict, "A file has the name of the folder"}
)

// place gives the file at temp its final name in one step. It returns the name and the
// size of the file that it replaced, -1 if none.
func (d *folder) place(temp, want string, r rule) (name string, was int64, err error) {
	if was, err = d.allows(want, r); err != nil {
		return "", -1, err
	}
	if dir := path.Dir(want); dir != "." {
		if err := d.root.MkdirAll(dir, 0o777); err != nil {
			return "", -1, fmt.Errorf("create the folder of the upload: %w", err)
		}
	}
	if r.mode == replace {
		return want, was, d.root.Rename(temp, want)
	}
	for n := 1; ; n++ {
		name = names.Numbered(want, n)
		err := d.rename(temp, name)
		if err == nil || !errors.Is(err, fs.ErrExist) || r.mode == onlyNew || n == names.MostNumbered+10 {
			return name, -1, err
		}
	}
}

// dirOf returns root as the folder in which uploads get their names. A test simulates a
// file system without hard links.
var dirOf = func(root *os.Root) atomicfile.Dir { return root }

// rename gives the file at temp a name that no file has.
func (d *folder) rename(temp, name string) error {
	mine, err := d.root.Lstat(temp)
	if err != nil {
		return err
	}
	if err := atomicfile.NameNew(dirOf(d.root), temp, name); err != nil {
		return err
	}
	if err := d.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		// The client gets an error, so its file must not stay.
		_, rerr := atomicfile.RemoveSame(d.root, name, mine)
		return errors.Join(err, rerr)
	}
	return nil
}

// syncNames writes the names of a file and its folders to stable storage.
func (d *folder) syncNames(name string) error {
	if runtime.GOOS == "windows" {
		return nil // Windows cannot flush a folder
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		f, err := d.root.Open(dir)
		if err != nil {
			return fmt.Errorf("sync the folder of the upload: %w", err)
		}
		err = f.Sync()
		f.Close()
		if err != nil && !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("sync the folder of the upload: %w", err)
		}
	}
	if err := d.dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("sync the folder for uploads: %w", err)
	}
	return nil
}

// sweepEvery is how often the sweeper looks for expired uploads.
const sweepEvery = 10 * time.Minute

// sweeper removes abandoned uploads when the folder has been opened, and from time to time
// after that.
type sweeper struct {
	log    *slog.Logger
	remove func(before time.Time) error // removes uploads and temporary files that have not changed since before

	mu    sync.Mutex // guards timer and over
	timer *time.Timer
	over  bool
	runs  sync.WaitGroup
}

// sweep only logs an error of remove, since that does not keep clients from uploading. Nor
// does a panic of a store, which would end the process.
func (s *sweeper) sweep(expire time.Duration) {
	defer func() {
		if e := recover(); e != nil {
			s.log.Error("cannot remove expired uploads", "panic", e, "stack", string(debug.Stack()))
		}
	}()
	if err := s.remove(time.Now().Add(-expire)); err != nil {
		s.log.Error("cannot remove expired uploads", "error", err)
	}
}

// after sets the timer for the next sweep.
func (s *sweeper) after(wait, expire time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.runs.Add(1)
	s.timer = time.AfterFunc(wait, func() {
		defer s.runs.Done()
		s.sweep(expire)
		s.after(min(expire, sweepEvery), expire)
	})
}

// end stops the timer and waits for a sweep that is running.
func (s *sweeper) end() {
	s.mu.Lock()
	s.over = true
	if s.timer != nil && s.timer.Stop() {
		s.runs.Done()
	}
	s.mu.Unlock()
	s.runs.Wait()
}

// removeOld removes resumable uploads that no request has continued since before, and older
// files that a killed process left.
func (d *folder) removeOld(before time.Time) error {
	err := d.expire(before)
	entries, rerr := fs.ReadDir(d.root.FS(), ".")
	err = errors.Join(err, rerr)
	for _, e := range entries {
		if !e.Type().IsRegular() || !atomicfile.IsTemp(e.Name()) || d.isLive(e.Name()) {
			continue
		}
		if info, ierr := e.Info(); ierr != nil || !info.ModTime().Before(before) {
			continue
		}
		if rerr := d.root.Remove(e.Name()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// mode says what to do if the name of an upload is taken.
type mode int

const (
	keepBoth mode = iota // give the upload a number
	replace              // replace the file
	onlyNew              // refuse the upload
)

var errFolderThere = &refusal{http.StatusConflict, "A folder or special file with this name already exists"}

// rule says under which conditions an upload gets its name.
type rule struct {
	mode mode
	precondition.Terms
}

// rule returns the rule of an upload with these preconditions.
func (s *settings) rule(t precondition.Terms) rule {
	switch {
	case t.OnlyNew:
		return rule{onlyNew, t}
	case s.overwrite:
		return rule{replace, t}
	}
	return rule{keepBoth, t}
}

var errTerms = &refusal{http.StatusPreconditionFailed, "The file with this name is not the expected one"}

// allows refuses an upload that could not get its name if it was complete now. It returns
// the size of the file that has the name, -1 if there is none.
func (d *folder) allows(name string, r rule) (was int64, err error) {
	if r == (rule{}) {
		return -1, nil // it gets another name if this one is taken
	}
	info, err := d.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && r.Match != "":
		return -1, errTerms
	case errors.Is(err, fs.ErrNotExist):
		return -1, nil
	case err != nil:
		return -1, err
	case r.mode == onlyNew:
		return -1, fs.ErrExist
	case r.mode == replace && !info.Mode().IsRegular():
		return -1, errFolderThere
	case !r.Met(tagOf(info), info.ModTime()):
		return -1, errTerms
	}
	return info.Size(), nil
}

// target is where uploads that arrive in one request go: a folder or a store.
type target interface {
	// folderOf returns the path of the folder that a request chooses, "" for the root.
	folderOf(r *http.Request) (string, error)
	// admits refuses an upload that could not get its name if it was complete now.
	admits(ctx context.Context, name string, r rule) error
	// receive begins a file of n bytes, -1 if the length is unknown.
	receive(ctx context.Context, n int64) (newFile, error)
}

// newFile is a file that is being written to a target. The caller must call abort, which
// does not touch a file that has its name.
type newFile interface {
	io.Writer
	// finish ends the content. publish does so too, if it was not called before.
	finish() error
	// publish gives the file its name. The file keeps it even if there is an error, if
	// got has a name.
	publish(want string, r rule) (got Received, replaced bool, err error)
	// withdraw removes the file that was published.
	withdraw(got Received) error
	abort()
}

// folderTarget is a folder as a target.
type folderTarget struct{ *folder }

func (d folderTarget) admits(_ context.Context, name string, r rule) error {
	_, err := d.allows(name, r)
	return err
}

func (d folderTarget) receive(_ context.Context, n int64) (newFile, error) {
	return d.folder.receive(max(n, 0))
}

// incoming is a file that is being written into the folder. The caller must call abort,
// which does nothing after publish.
type incoming struct {
	d    *folder
	file *os.File // nil after finish
	temp string   // "" after publish and abort
	held *os.File // keeps temp locked after finish; nil: not locked
	hold *quota.Hold
	size int64       // bytes written
	info fs.FileInfo // of the finished file

	early writeback.Flusher
}

// receive begins a file of n bytes, or more if the length is unknown.
func (d *folder) receive(n int64) (*incoming, error) {
	h, err := d.ledger.Take(n)
	if err != nil {
		return nil, err
	}
	f, temp, err := d.createTemp()
	if err != nil {
		h.Release()
		return nil, err
	}
	return &incoming{d: d, file: f, temp: temp, hold: h, early: writeback.New(d.set.sync, 0)}, nil
}

// Write appends p to the file.
func (in *incoming) Write(p []byte) (int, error) {
	if err := in.hold.Need(in.size + int64(len(p))); err != nil {
		return 0, err
	}
	n, err := in.file.Write(p)
	in.size += int64(n)
	in.hold.Wrote(int64(n))
	in.early.Wrote(in.file, int64(n))
	return n, err
}

// finish closes the file. It has no name yet.
func (in *incoming) finish() error {
	if in.file == nil {
		return nil
	}
	var err error
	if in.d.set.sync {
		err = in.file.Sync()
	}
	held, derr := lock.Dup(in.file)
	if derr == nil {
		in.held = held
	} else if !errors.Is(derr, errors.ErrUnsupported) {
		err = errors.Join(err, derr)
	}
	info, serr := in.file.Stat()
	in.info = info
	err = errors.Join(err, serr, in.file.Close())
	in.file = nil
	if err != nil {
		return fmt.Errorf("finish the upload: %w", err)
	}
	return nil
}

// publish gives the file its name. The file keeps it even if the name does not reach stable
// storage, which is an error.
func (in *incoming) publish(want string, r rule) (got Received, replaced bool, err error) {
	if err := in.finish(); err != nil {
		return Received{}, false, err
	}
	got.Size = in.size
	err = in.hold.Publish(func() (int64, error) {
		name, was, err := in.d.place(in.temp, want, r)
		if err != nil {
			return 0, fmt.Errorf("give the upload its name: %w", err)
		}
		got.Name, replaced = name, was >= 0
		return in.size - max(was, 0), nil
	})
	if err != nil {
		return Received{}, false, err
	}
	in.unlock()
	if in.d.set.sync {
		err = in.d.syncNames(got.Name)
	}
	return got, replaced, err
}

// withdraw implements newFile. It leaves a file alone that has the name by now.
func (in *incoming) withdraw(got Received) error {
	return in.d.ledger.Unpublish(got.Size, func() (bool, error) {
		return atomicfile.RemoveSame(in.d.root, got.Name, in.info)
	})
}

// abort removes the unfinished file.
func (in *incoming) abort() {
	if in.temp == "" {
		return
	}
	if in.file != nil {
		in.file.Close()
		in.file = nil
	}
	if err := in.d.root.Remove(in.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		in.d.set.log.Error("cannot remove a failed upload", "file", in.temp, "error", err)
	}
	in.unlock()
	in.hold.Release()
}

// unlock forgets the temporary file, which does not exist any more.
func (in *incoming) unlock() {
	if in.held != nil {
		in.held.Close()
		in.held = nil
	}
	in.d.forget(in.temp)
	in.temp = ""
}

// tagOf returns the entity tag of a file, as a [FileServer] sends it, "" for anything but a
// regular file.
func tagOf(info fs.FileInfo) string {
	if !info.Mode().IsRegular() {
		return ""
	}
	return openfile.Tag(info.ModTime(), info.Size(), openfile.Identify(info))
}
