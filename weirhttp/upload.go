package weirhttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
)

// Uploads is a handler that takes files from clients into a folder. Only Dir
// must be set. The fields must not change after the first request; requests are
// served concurrently.
//
//	mux.Handle("POST /upload", weirhttp.UploadTo("inbox"))
//
// It takes, by method:
//
//   - POST with the file as its body, whose name is that of Content-Disposition,
//     or of the query parameter name, or else a new one;
//   - POST with multipart/form-data, in which every part with a file name is a
//     file: all of them are stored, or none;
//   - PUT, whose name is the last element of the path;
//   - POST, HEAD, PATCH and DELETE of resumable uploads: tus 1.0 with its
//     extensions creation, creation-with-upload, creation-defer-length,
//     termination, checksum and expiration, and the drafts of the IETF up to
//     interop version 6. Mount the handler at "/upload/" too for these.
//
// The answer to a stored file is 201 with its Location and a [Received] as
// JSON, or 200 when it has replaced another one. To multipart it is a list of
// them, and 201 in any case.
//
// A file is whole or absent: it is written under a hidden temporary name and
// gets its own when all of it has come and every digest that the client sent
// (Content-Digest, Repr-Digest, Digest, Content-MD5) is right. Nothing is left
// of an upload that fails, but for resumable ones, which wait in the hidden
// folder .weir-uploads and outlive the server. Names are made safe with
// [SafeName]; where a name is taken the new file gets a number: "a (2).txt".
// That is so for PUT as well, although it names its target: Location tells the
// name, where RFC 9110 (9.3.4) would have the client redirected first.
//
// If-Match, If-None-Match and If-Unmodified-Since are about the file that has
// the name already; its entity tag is that of a [FileServer]. Where one of them
// does not hold the answer is 412 and nothing is stored. That is looked at
// before the body is taken and when the file gets its name. A resumable upload
// has those of its creation.
//
// At most 10,000 resumable uploads are pending at a time, each with up to 4 KiB
// of metadata; one more is refused with 507 until another one is whole, removed
// or expired.
//
// What does not fit is refused before its body is taken where its length is
// known, and as soon as it shows otherwise: with 413 or 507. The connection
// stays open until the client has had the time to read that.
type Uploads struct {
	Dir string // the folder, which must exist and be on one file system

	MaxSize int64 // largest file, in bytes; 0: any
	Quota   int64 // most bytes of files in the folder, uploads on their way included; 0: any
	MinFree int64 // space to leave on the disk, in bytes

	Overwrite bool // a file with the name of an upload is replaced
	Sync      bool // answer when file and name are on stable storage
	NoDigest  bool // leave SHA256 out of Received: it costs as much CPU time as all the rest; see ConnContext

	Stall time.Duration // how long a client may send nothing; 0: a minute, negative: any time

	// Expire is how long a resumable upload waits for its client: a day if 0,
	// for ever if negative. What a killed process left of other uploads is
	// removed when the handler opens, and counts for Quota until then.
	Expire time.Duration

	// Budget, if not nil, is where uploads take their buffers from: 16 KiB for
	// a slow upload, up to 2 MiB for a fast one, and 8 KiB for one that the
	// kernel moves, up to 64 KiB where it cannot. One that gets none within
	// Queue is answered 503 with Retry-After.
	Budget *weir.Budget
	Queue  time.Duration // 0: 5 s; negative: does not wait

	// URL is where the files of the folder can be read, for Location. The
	// default is the path of the request.
	URL string

	Log  *slog.Logger   // failures; nil: slog.Default()
	Done func(Received) // is called for every file that was stored, before the answer

	mu     sync.Mutex // guards what follows
	folder *folder
	closed bool
}

// Received is a file that was stored.
type Received struct {
	Name   string `json:"name"`             // in the folder
	Size   int64  `json:"size"`             // bytes
	SHA256 string `json:"sha256,omitempty"` // hexadecimal; not known of resumable uploads
}

// UploadTo returns a handler that takes files of any size into the folder dir.
func UploadTo(dir string) *Uploads { return &Uploads{Dir: dir} }

// ServeHTTP takes the files of one request and returns when they are stored or
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
		err = u.takeForm(w, r, body, d)
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		err = u.takeBody(w, r, body, d)
	default:
		w.Header().Set("Allow", "POST, PUT, HEAD, PATCH, DELETE, OPTIONS")
		refuseUpload(w, r, http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	if err != nil {
		u.refuse(w, r, err)
	}
}

// Close ends the handler: it waits for the requests under way and for the
// removal of what has expired, and closes the folder. Requests that come later
// are refused with 503. A handler that lives as long as its process need not be
// closed.
func (u *Uploads) Close() error {
	u.mu.Lock()
	d := u.folder
	u.folder, u.closed = nil, true
	u.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.close()
}

var errClosed = errors.New("the handler of uploads is closed")

// open returns the folder, which is opened by the first request. The caller
// must call users.Done.
func (u *Uploads) open() (*folder, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, errClosed
	}
	if u.folder == nil {
		d, err := openFolder(u)
		if err != nil {
			return nil, err
		}
		u.folder = d
	}
	u.folder.users.Add(1)
	return u.folder, nil
}

// never is longer than anybody waits, and can be added to a time and doubled.
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

// expire returns after how long an upload expires, if it does.
func (u *Uploads) expire() (after time.Duration, ok bool) {
	return orDefault(u.Expire, 24*time.Hour), u.Expire >= 0
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
	if err := u.acceptable(r); err != nil {
		return err
	}
	digests, err := wanted(r.Header, r.Trailer, !u.NoDigest)
	if err != nil {
		return err
	}
	if u.MaxSize > 0 && r.ContentLength > u.MaxSize {
		return &http.MaxBytesError{Limit: u.MaxSize}
	}
	policy := u.rule(termsOf(r.Header))
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
	got, replaced, err := u.store(r, in, body, name, policy, digests, x)
	x.end(err)
	if err != nil {
		return err
	}
	u.done(got)
	status := http.StatusCreated
	if replaced {
		status = http.StatusOK
	}
	u.answer(w, r, status, got.Name, got)
	return nil
}

func (u *Uploads) store(r *http.Request, in *incoming, body *requestBody, name string, policy rule, digests *digests, x *transfer) (got Received, replaced bool, err error) {
	if c := kernelConn(r); c != nil && len(digests.hashes) == 0 {
		k := kernelCopy{conn: c, body: body, first: body, file: in.file, left: r.ContentLength, hold: in.hold, early: newEarlyFlush(u.Sync, 0),
			budget: u.Budget, queue: u.Queue}
		err = k.run(withoutEnd(r.Context()), x)
		in.size = k.n
	} else {
		err = u.copy(r.Context(), in, body, digests, x)
	}
	if err != nil {
		return got, false, err
	}
	if err := digests.check(r.Trailer); err != nil {
		return got, false, err
	}
	got, replaced, err = in.publish(name, policy)
	got.SHA256 = digests.sha256()
	return got, replaced, err
}

// acceptable refuses what would be stored as something else than it is.
func (u *Uploads) acceptable(r *http.Request) error {
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return &refusal{http.StatusUnsupportedMediaType, "Content-Encoding is not supported"}
	}
	if r.Header.Get("Content-Range") != "" {
		return &refusal{http.StatusBadRequest, "Content-Range is not supported: resume with tus"}
	}
	return nil
}

func (u *Uploads) done(got Received) {
	u.log().Debug("upload stored", "name", got.Name, "size", got.Size)
	if u.Done != nil {
		u.Done(got)
	}
}

// nameOf returns a safe name for the body of r.
func nameOf(r *http.Request) (string, error) {
	if r.Method == http.MethodPut {
		if name := SafeName(path.Base("/" + r.URL.Path)); name != "" && !strings.HasSuffix(r.URL.Path, "/") {
			return name, nil
		}
		return "", &refusal{http.StatusBadRequest, "the path has no name for the file"}
	}
	if name := SafeName(dispositionName(r.Header.Get("Content-Disposition"))); name != "" {
		return name, nil
	}
	if name := SafeName(r.URL.Query().Get("name")); name != "" {
		return name, nil
	}
	return unnamed(), nil
}

// withoutEnd keeps the values of a request's context but not its end, which
// net/http brings about when any read of the body fails: what the body says
// itself is more exact, and a client that leaves ends it as well.
func withoutEnd(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
