package weirhttp

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/digest"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/precondition"
	"github.com/weir-go/weir/weirhttp/internal/writeback"
)

// Uploads is a handler that receives files into a folder. Only Dir must be set. The
// fields must not change after the first request. Requests are served concurrently.
//
//	mux.Handle("POST /upload", weirhttp.UploadTo("inbox"))
//
// It accepts these methods:
//
//   - POST with the file as its body. The name comes from Content-Disposition, or from
//     the query parameter name; without either, the server makes one.
//   - POST with multipart/form-data. Every part with a file name is a file. Either all of
//     them are stored, or none.
//   - PUT. The name is the last element of the path.
//   - POST, HEAD, PATCH and DELETE of resumable uploads: tus 1.0 with its extensions
//     creation, creation-with-upload, creation-defer-length, termination, checksum and
//     expiration, and the drafts of the IETF up to interop version 6. Mount the handler
//     at "/upload/" too for these.
//
// The answer to a stored file is 201, or 200 if the file has replaced another one, with
// its Location and a [Received] as JSON. The answer to multipart is always 201, with a
// list of them.
//
// A file is whole or absent. It is written under a hidden temporary name, and gets its
// own name when all of it has arrived and every digest that the client sent
// (Content-Digest, Repr-Digest, Digest, Content-MD5) matches. A failed upload leaves
// nothing behind, except that resumable uploads wait in the hidden folder .weir-uploads,
// where they survive a restart of the server. [SafeName] makes the names safe. If a name
// is taken, the new file gets a number: "a (2).txt". This also holds for PUT, although PUT
// names its target: Location has the name, where RFC 9110 (9.3.4) would redirect the
// client first.
//
// If-Match, If-None-Match and If-Unmodified-Since apply to the file that has the name
// already. Its entity tag is the one that a [FileServer] sends. If a precondition does not
// hold, the answer is 412 and nothing is stored. The handler checks them before it reads
// the body, and again when it gives the file its name. For a resumable upload, those of
// the request that created it apply.
//
// At most 10,000 resumable uploads can be pending, each with up to 4 KiB of metadata. One
// more is refused with 507 until another one is complete, removed or expired.
//
// An upload that does not fit is refused with 413 or 507: before its body is read if its
// length is known, otherwise as soon as it is too long. The connection stays open until
// the client has had time to read the answer.
type Uploads struct {
	Dir string // an existing folder, all on one file system

	MaxSize int64 // largest file, in bytes; 0: no limit
	Quota   int64 // most bytes of files in the folder, including uploads under way; 0: no limit
	MinFree int64 // bytes to leave free on the disk

	Overwrite bool // an upload replaces a file with the same name
	Sync      bool // answer when the file and its name are on stable storage
	NoDigest  bool // leave out SHA256 from Received: it takes as much CPU time as the rest of an upload; see ConnContext

	Stall time.Duration // longest time a client can send nothing; 0: one minute, negative: no limit

	// Expire is how long a resumable upload waits for its client. Zero means one day;
	// negative means without end. Files that a killed process left are removed when
	// the handler opens the folder; they count for Quota until then.
	Expire time.Duration

	// Budget, if not nil, provides the buffers of uploads: 16 KiB for a slow upload,
	// up to 2 MiB for a fast one, and 8 KiB for one that the kernel moves, up to
	// 64 KiB if it cannot. An upload that gets no buffer within Queue is answered with
	// 503 and Retry-After.
	Budget *weir.Budget
	Queue  time.Duration // 0: 5 s; negative: do not wait

	// URL is where clients can read the files of the folder, for Location. The
	// default is the path of the request.
	URL string

	Log  *slog.Logger   // for failures; nil: slog.Default()
	Done func(Received) // if not nil, is called after each file is stored and before the answer is sent

	mu     sync.Mutex // guards the fields below
	opened *opened    // nil: not yet
	closed bool
}

// opened is an Uploads while its folder is open.
type opened struct {
	*folder
	tus   *tusHandler
	users sync.WaitGroup // requests that use it
}

// UploadTo returns a handler that receives files of any size into the folder dir.
func UploadTo(dir string) *Uploads { return &Uploads{Dir: dir} }

// SafeName makes a file name of the name that a client gives its file, which can be
// anything. It returns the last element of a path, with either kind of separator, as a
// name that is valid on Linux, macOS and Windows. The name is not hidden, has no control
// or formatting characters, is not that of a device, and has at most 230 bytes of UTF-8.
// The result is "" if nothing is left.
func SafeName(name string) string { return names.Safe(name) }

// ServeHTTP receives the files of one request. It returns when they are stored or
// refused.
func (u *Uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, body := withBody(w, r, u.stall())
	d, err := u.open()
	if err != nil {
		u.refuse(w, r, err)
		return
	}
	defer d.users.Done()
	switch {
	case isResumable(r):
		d.tus.ServeHTTP(w, r)
	case isPart(r):
		err = &refusal{http.StatusNotImplemented, "This version of resumable uploads is not supported"}
	case r.Method == http.MethodPost && isMultipart(r):
		err = u.takeForm(w, r, body, d.folder)
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		err = u.takeBody(w, r, body, d.folder)
	default:
		w.Header().Set("Allow", "POST, PUT, HEAD, PATCH, DELETE, OPTIONS")
		refuse(w, r, http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	if err != nil {
		u.refuse(w, r, err)
	}
}

// Close waits for running requests and for the removal of expired uploads, and closes the
// folder. Later requests are refused with 503. A handler that lives as long as its
// process need not be closed.
func (u *Uploads) Close() error {
	u.mu.Lock()
	d := u.opened
	u.opened, u.closed = nil, true
	u.mu.Unlock()
	if d == nil {
		return nil
	}
	d.users.Wait()
	return d.close()
}

// open returns the open folder. The first request opens it. The caller must call
// users.Done.
func (u *Uploads) open() (*opened, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, errClosed
	}
	if u.opened == nil {
		d, err := openFolder(u.settings())
		if err != nil {
			return nil, err
		}
		tus, err := newTus(d)
		if err != nil {
			d.close()
			return nil, err
		}
		d.begin(tus.expireOld)
		u.opened = &opened{folder: d, tus: tus}
	}
	u.opened.users.Add(1)
	return u.opened, nil
}

// settings returns the settings of the folder.
func (u *Uploads) settings() *settings {
	return &settings{
		dir: u.Dir, maxSize: u.MaxSize, quota: u.Quota, minFree: u.MinFree, overwrite: u.Overwrite, sync: u.Sync,
		showDigest: !u.NoDigest, stall: u.stall(), expire: u.Expire, budget: u.Budget, queue: u.Queue, log: u.log(), done: u.Done,
	}
}

// never is longer than anybody waits. It can be added to a time and doubled.
const never = time.Duration(1 << 60)

func (u *Uploads) stall() time.Duration {
	switch {
	case u.Stall == 0:
		return time.Minute
	case u.Stall < 0:
		return never
	}
	return u.Stall
}

func (u *Uploads) log() *slog.Logger {
	if u.Log == nil {
		return slog.Default()
	}
	return u.Log
}

// takeBody stores the body of r.
func (u *Uploads) takeBody(w http.ResponseWriter, r *http.Request, body *requestBody, d *folder) error {
	name, err := nameOf(r)
	if err != nil {
		return err
	}
	if err := acceptable(r); err != nil {
		return err
	}
	digests, err := digest.New(r.Header, r.Trailer, !u.NoDigest)
	if err != nil {
		return err
	}
	if u.MaxSize > 0 && r.ContentLength > u.MaxSize {
		return &http.MaxBytesError{Limit: u.MaxSize}
	}
	policy := d.set.rule(precondition.Of(r.Header))
	if _, err := d.allows(name, policy); err != nil {
		return err
	}
	in, err := d.receive(max(r.ContentLength, 0))
	if err != nil {
		return err
	}
	defer in.abort()
	body.limit = u.MaxSize
	x := begin(r, Upload, name, r.ContentLength)
	x.names(name)
	got, replaced, err := u.store(r, in, body, name, policy, digests, x)
	if err == nil {
		x.names(got.Name)
	}
	x.end(err)
	if err != nil {
		return err
	}
	d.set.stored(got)
	status := http.StatusCreated
	if replaced {
		status = http.StatusOK
	}
	u.answer(w, r, status, got.Name, got)
	return nil
}

func (u *Uploads) store(r *http.Request, in *incoming, body *requestBody, name string, policy rule, digests *digest.Set, x *transfer) (got Received, replaced bool, err error) {
	temp := in.temp
	live := arriving.begin(in.d.root, name, r.ContentLength, func() (*os.File, error) { return in.d.root.Open(temp) })
	defer func() { live.end(err) }()
	if c := kernelConn(r); c != nil && digests.IsEmpty() {
		k := kernelCopy{conn: c, body: body, file: in.file, left: r.ContentLength, hold: in.hold, early: writeback.New(u.Sync, 0),
			budget: u.Budget, queue: u.Queue}
		err = k.run(withoutEnd(r.Context()), x)
		in.size = k.n
	} else {
		c := clientReader{body: body, budget: u.Budget, queue: u.Queue}
		err = c.copyTo(r.Context(), in, digests, x)
	}
	if err != nil {
		return got, false, err
	}
	if err := digests.Check(r.Trailer); err != nil {
		return got, false, err
	}
	got, replaced, err = in.publish(name, policy)
	got.SHA256 = digests.SHA256()
	return got, replaced, err
}

// takeForm stores the files of a form: either all of them get their names, or none.
func (u *Uploads) takeForm(w http.ResponseWriter, r *http.Request, body *requestBody, d *folder) error {
	if err := acceptable(r); err != nil {
		return err
	}
	form, err := openForm(r, body, d)
	if err != nil {
		return err
	}
	defer form.abort()
	form.x = begin(r, Upload, "form", r.ContentLength)
	list, err := form.store(r)
	var stored []string
	for _, got := range list {
		stored = append(stored, got.Name)
	}
	form.x.names(stored...)
	form.x.end(err)
	if err != nil {
		return err
	}
	for _, got := range list {
		d.set.stored(got)
	}
	u.answer(w, r, http.StatusCreated, list[0].Name, list)
	return nil
}

// nameOf returns a safe name for the body of r.
func nameOf(r *http.Request) (string, error) {
	if r.Method == http.MethodPut {
		if name := names.Safe(path.Base("/" + r.URL.Path)); name != "" && !strings.HasSuffix(r.URL.Path, "/") {
			return name, nil
		}
		return "", &refusal{http.StatusBadRequest, "The path does not name a file"}
	}
	if name := names.Safe(dispositionName(r.Header.Get("Content-Disposition"))); name != "" {
		return name, nil
	}
	if name := names.Safe(r.URL.Query().Get("name")); name != "" {
		return name, nil
	}
	return names.New(), nil
}

// answer tells the client what was stored.
func (u *Uploads) answer(w http.ResponseWriter, r *http.Request, status int, name string, what any) {
	body, err := json.Marshal(what)
	if err != nil {
		u.log().Error("cannot encode the answer to an upload", "error", err)
		return
	}
	body = append(body, '\n')
	h := w.Header()
	h.Set("Location", u.location(r, name))
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	closeBehind(h, r)
	w.WriteHeader(status)
	w.Write(body) // if the client has disconnected, its file is stored all the same
}

// location returns the URL of the file called name.
func (u *Uploads) location(r *http.Request, name string) string {
	base := u.URL
	if base == "" {
		base = requestPath(r)
		if r.Method == http.MethodPut {
			base = base[:strings.LastIndexByte(base, '/')+1]
		}
	}
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	return base + url.PathEscape(name)
}

// refuse answers an upload that failed, and logs it.
func (u *Uploads) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, text := uploadStatus(err)
	u.log().Log(r.Context(), failureLevel(status), "upload failed", "status", status, "error", err, "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr)
	if status == http.StatusServiceUnavailable {
		tellRetry(w.Header(), budget.RetryAfter(u.Queue))
	}
	if status == http.StatusUnsupportedMediaType {
		w.Header().Set("Accept-Encoding", "identity")
	}
	refuse(w, r, status, text)
}
