package weirhttp

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/digest"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/precondition"
	"github.com/weir-go/weir/weirhttp/internal/writeback"
)

// Uploads is a handler that receives files into a folder. Only Dir, or Store, must be set.
// The fields must not change after the first request. Requests are served concurrently.
//
//	mux.Handle("POST /upload", weirhttp.UploadTo("inbox"))
//
// It accepts these methods:
//
//   - POST with the file as its body. The name comes from Content-Disposition, or from
//     the query parameter name; without either, the server makes one.
//   - POST with multipart/form-data. Every part with a file name is a file. Either all of
//     them are stored, or none. There is one exception: with Overwrite, a file that has
//     replaced another one stays if a later file of the form cannot get its name. All
//     files are complete and their names have been checked before the first one gets its
//     name, so that takes a failure of the disk or store, or another upload at the same
//     moment. Done is called for a file that stays.
//   - PUT. The name is the last element of the path.
//   - POST, HEAD, PATCH and DELETE of tus 1.0, with its extensions creation,
//     creation-with-upload, creation-defer-length, termination, checksum and expiration.
//     Mount the handler at "/upload/" too for these.
//   - POST or PUT with Upload-Complete, and HEAD, GET, PATCH and DELETE, of resumable
//     uploads over HTTP: the interop versions 3 to 9 of
//     draft-ietf-httpbis-resumable-upload, and the form without a version that the RFC
//     will have. Another version is refused with 400 and a text, unless it brings the
//     whole file in one request; that is an ordinary upload.
//
// A PUT or POST over HTTP/1 needs Content-Length or Transfer-Encoding; without either it is
// refused with 411.
//
// The answer to a stored file is 201, or 200 if the file has replaced another one, with a
// [Received] as JSON, and with its Location if [Uploads.URL] is set. The answer to multipart
// is always 201, with a list of them.
//
// A file is whole or absent. It is written under a hidden temporary name, and gets its
// own name when all of it has arrived and every digest that the client sent
// (Content-Digest, Repr-Digest, Digest, Content-MD5) matches. A failed upload leaves
// nothing behind, except that resumable uploads wait in the hidden folder .weir-uploads,
// where they survive a restart of the server. [SafeName] makes the names safe. If a name
// is taken, the new file gets a number: "a (2).txt". This also holds for PUT, although PUT
// names its target: the answer has the name, where RFC 9110 (9.3.4) would redirect the
// client first.
//
// If-Match, If-None-Match and If-Unmodified-Since apply to the file that has the name
// already. Its entity tag is the one that a [FileServer] sends. If a precondition does not
// hold, the answer is 412 and nothing is stored. The handler checks them before it reads
// the body, and again when it gives the file its name. For a resumable upload, the
// preconditions of the request that created it apply.
//
// The newest request for a resumable upload wins: it ends an older one that still adds to
// the upload, and the offset that it returns stays valid. A request that contradicts the
// upload, such as one with a wrong offset, is refused first and ends nothing. The HEAD of a
// tus client leaves a transfer alone that has received bytes within the last 2 s. An
// interrupted client of tus gets 423. For one of resumable uploads over HTTP the connection
// breaks, as it does after any other interruption, because such clients resume only then.
// Several processes can share one folder, on a file system with locks.
//
// DELETE of an upload that is complete gets 404, and the file stays.
//
// At most 10,000 resumable uploads can be pending, each with up to 4 KiB of metadata. One
// more is refused with 507 until another one is complete, removed or expired.
//
// An upload that does not fit is refused with 413 or 507: before its body is read if its
// length is known, otherwise as soon as it is too long. The connection stays open until
// the client has had time to read the answer.
type Uploads struct {
	Dir string // an existing folder, all on one file system

	// Store, if not nil, takes the uploads, instead of Dir. Everything else is the same for
	// clients, except that they cannot follow an upload with ?follow. Several processes can
	// serve one store. Quota, MinFree and Sync have no effect then: a store has its own
	// settings, and its saved data is safe.
	Store UploadStore

	MaxSize int64 // largest file, in bytes; 0: no limit
	Quota   int64 // most bytes of files in the folder, including uploads under way; 0: no limit
	MinFree int64 // bytes to leave free on the disk

	// MaxRequest is the most bytes that one request can carry, as limited by a proxy in
	// front of the server. It is announced to the clients of resumable uploads, and
	// enforced for them. Zero means no limit.
	MaxRequest int64

	// MinRequest is announced to the clients of resumable uploads as the least bytes that
	// a request should carry, except the last one. Smaller requests are accepted. Zero
	// announces nothing.
	MinRequest int64

	// Folders lets clients choose a folder below Dir: the query parameter folder, as in
	// PUT /upload/a.txt?folder=photos/2026, is its path. It need not exist; names in it
	// are made safe like the names of files. The file has the path as its name in Received.
	Folders bool

	Overwrite bool // an upload replaces a file with the same name
	Sync      bool // answer when the file and its name are on stable storage
	NoDigest  bool // leave out SHA256 from Received: it takes as much CPU time as the rest of an upload; see ConnContext

	Stall time.Duration // longest time a client can send nothing; 0: one minute, negative: no limit

	// Expire is how long a resumable upload waits for its client. Zero means one day;
	// negative means without end. Files that a killed process left are removed when
	// the handler opens the folder; they count for Quota until then. In a Store, which
	// other processes can be using, an upload stays for at least a day.
	Expire time.Duration

	// Budget, if not nil, provides the buffers of uploads: 16 KiB for a slow upload,
	// up to 2 MiB for a fast one, and 8 KiB for one that the kernel moves, up to
	// 64 KiB if it cannot. An upload that gets no buffer within Queue is answered with
	// 503 and Retry-After.
	Budget *weir.Budget
	Queue  time.Duration // 0: 5 s; negative: do not wait

	// URL is where clients can read the files of the folder, such as "/files/", for
	// Location. If it is empty, the answer to a complete upload names its file in the
	// JSON only, because the file is at no URL that the handler knows of. The URL of an
	// upload that can be resumed does not depend on it.
	URL string

	Log  *slog.Logger   // for failures; nil: slog.Default()
	Done func(Received) // if not nil, is called after each file is stored and before the answer is sent

	mu     sync.Mutex // guards the fields below
	opened *opened    // nil: not yet
	closed bool
}

// opened is an Uploads while its folder is open.
type opened struct {
	*folder // nil: a store takes the uploads
	set     *settings
	to      target
	tus     *tusHandler
	http    *httpUploads
	close   func() error
	users   sync.WaitGroup // requests that use it
}

// UploadTo returns a handler that receives files of any size into the folder dir.
func UploadTo(dir string) *Uploads { return &Uploads{Dir: dir} }

// SafeName makes a file name of the name that a client gives its file, which can be
// anything. It returns the last element of a path, with either kind of separator, as a
// name that is valid on Linux, macOS and Windows. The name is not hidden, has no control
// or formatting characters, does not name a device, and has at most 230 bytes of UTF-8.
// The result is "" if nothing is left.
func SafeName(name string) string { return names.Safe(name) }

// ServeHTTP receives the files of one request. It returns when they are stored or
// refused. It panics with [http.ErrAbortHandler], which breaks the connection, if a
// resumable upload over HTTP has ended early and its client can resume it.
func (u *Uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, body := withBody(w, r, u.stall())
	d, err := u.open()
	if err != nil {
		u.settings().refuse(w, r, err)
		return
	}
	defer d.users.Done()
	switch {
	case isTus(r):
		d.tus.ServeHTTP(w, r)
	case isResumable(r):
		d.http.ServeHTTP(w, r)
	case hasNoLength(r):
		err = errNoLength
	case r.Method == http.MethodPost && isMultipart(r):
		err = u.takeForm(w, r, body, d)
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		err = u.takeBody(w, r, body, d)
	default:
		w.Header().Set("Allow", "POST, PUT, HEAD, PATCH, DELETE, OPTIONS")
		refuse(w, r, http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	if err != nil {
		d.set.refuse(w, r, err)
	}
}

// Close waits for running requests and for the removal of expired uploads, which it
// interrupts in a Store, and closes the folder. Later requests are refused with 503. A
// handler that lives as long as its process need not be closed.
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
		var err error
		if u.Store != nil {
			u.opened, err = openStore(u.settings(), u.Store)
		} else {
			u.opened, err = openDir(u.settings())
		}
		if err != nil {
			return nil, err
		}
	}
	u.opened.users.Add(1)
	return u.opened, nil
}

// openDir opens a folder for uploads.
func openDir(set *settings) (*opened, error) {
	d, err := openFolder(set)
	if err != nil {
		return nil, err
	}
	store := newFolderStore(d)
	if err := store.adopt(); err != nil {
		d.close()
		return nil, err
	}
	o, err := newOpened(set, store, folderTarget{d})
	if err != nil {
		d.close()
		return nil, err
	}
	d.begin(func(before time.Time) error { return o.http.sweep(context.Background(), before) })
	o.close = d.close
	o.folder = d
	return o, nil
}

// openStore is openDir for a store.
func openStore(set *settings, to UploadStore) (*opened, error) {
	store := &ownStore{set, to}
	set.folderOf = store.folderOf
	o, err := newOpened(set, store, store)
	if err != nil {
		return nil, err
	}
	// A sweep of a store can take long, and need not be complete.
	ctx, cancel := context.WithCancel(context.Background())
	s := &sweeper{log: set.log, remove: func(before time.Time) error {
		if err := o.http.sweep(ctx, before); ctx.Err() == nil {
			return err
		}
		return nil
	}}
	if after, ok := set.expiry(); ok {
		s.after(0, after)
	}
	o.close = func() error {
		cancel()
		s.end()
		return nil
	}
	return o, nil
}

// newOpened makes the handlers of the protocols.
func newOpened(set *settings, store uploadStore, to target) (*opened, error) {
	all := newResumption(set, store)
	tus, err := newTus(all)
	if err != nil {
		return nil, err
	}
	return &opened{set: set, to: to, tus: tus, http: &httpUploads{all}}, nil
}

// settings returns the settings of the folder.
func (u *Uploads) settings() *settings {
	return &settings{
		dir: u.Dir, maxSize: u.MaxSize, quota: u.Quota, minFree: u.MinFree, overwrite: u.Overwrite, sync: u.Sync,
		showDigest: !u.NoDigest, stall: u.stall(), expire: u.Expire, budget: u.Budget, queue: u.Queue, log: u.log(), done: u.Done,
		url: u.URL, maxRequest: u.MaxRequest, minRequest: u.MinRequest, folders: u.Folders,
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
func (u *Uploads) takeBody(w http.ResponseWriter, r *http.Request, body *requestBody, d *opened) error {
	name, err := nameOf(r)
	if err != nil {
		return err
	}
	folder, err := d.to.folderOf(r)
	if err != nil {
		return err
	}
	name = path.Join(folder, name)
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
	if err := d.to.admits(r.Context(), name, policy); err != nil {
		return err
	}
	in, err := d.to.receive(r.Context(), r.ContentLength)
	if err != nil {
		return err
	}
	defer in.abort()
	body.limit = u.MaxSize
	x := begin(r, Upload, name, r.ContentLength)
	defer x.end(errPanicked) // unless it has ended
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
	d.set.answer(w, r, status, got.Name, got)
	return nil
}

func (u *Uploads) store(r *http.Request, to newFile, body *requestBody, name string, policy rule, digests *digest.Set, x *transfer) (got Received, replaced bool, err error) {
	in, local := to.(*incoming)
	if local {
		temp := in.temp
		live := arriving.begin(in.d.root, name, r.ContentLength, func() (*os.File, error) { return in.d.root.Open(temp) })
		defer live.end(errPanicked) // unless it has ended
		defer func() {
			if err != nil || got.Name != "" {
				live.end(err)
			}
		}()
	}
	if c := kernelConn(r); local && c != nil && digests.IsEmpty() {
		k := kernelCopy{conn: c, body: body, file: in.file, left: r.ContentLength, hold: in.hold, early: writeback.New(u.Sync, 0),
			budget: u.Budget, queue: u.Queue}
		err = k.run(withoutEnd(r.Context()), x)
		in.size = k.n
	} else {
		c := clientReader{body: body, budget: u.Budget, queue: u.Queue}
		err = c.copyTo(r.Context(), to, digests, x)
	}
	if err != nil {
		return got, false, err
	}
	if err := digests.Check(r.Trailer); err != nil {
		return got, false, err
	}
	got, replaced, err = to.publish(name, policy)
	got.SHA256 = digests.SHA256()
	return got, replaced, err
}

// takeForm stores the files of a form.
func (u *Uploads) takeForm(w http.ResponseWriter, r *http.Request, body *requestBody, d *opened) error {
	if err := acceptable(r); err != nil {
		return err
	}
	form, err := openForm(r, body, d.set, d.to)
	if err != nil {
		return err
	}
	defer form.abort()
	form.x = begin(r, Upload, "form", r.ContentLength)
	defer form.x.end(errPanicked) // unless it has ended
	list, err := form.store(r)
	var stored []string
	for _, got := range list {
		stored = append(stored, got.Name)
	}
	form.x.names(stored...)
	form.x.end(err)
	for _, got := range list {
		d.set.stored(got)
	}
	if err != nil {
		return err
	}
	d.set.answer(w, r, http.StatusCreated, list[0].Name, list)
	return nil
}
