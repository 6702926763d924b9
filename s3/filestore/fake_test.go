package filestore

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/s3"
)

// fake is an object store in memory that honours conditions. What a real one does, the tests
// in e2e find out; this one makes parts of a few bytes possible.
type fake struct {
	url string

	mu       sync.Mutex // guards the rest
	objects  map[string]fakeObject
	uploads  map[string]*fakeUpload
	serial   int
	requests map[string]int             // by method
	refuse   func(r *http.Request) bool // answers 503
	deny     func(r *http.Request) bool // answers 403
	lose     func(r *http.Request) bool // does it, and answers 503
	hide     func(r *http.Request) bool // answers 200 with an error
	ignore   bool                       // conditions
}

type fakeObject struct {
	data     []byte
	etag     string
	mark     string
	modified time.Time
}

type fakeUpload struct {
	key, mark string
	began     time.Time
	parts     map[int][]byte
}

func newFake(t *testing.T) *fake {
	f := &fake{objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}, requests: map[string]int{}}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

// open opens the store as another process would. Its parts have part bytes, and are sent from
// least bytes on.
func (f *fake) open(t *testing.T, part, least int64) *Store {
	t.Helper()
	s, err := Open("s3://bucket/pre/fix", Options{
		Store:  s3.Store{Endpoint: f.url, AccessKeyID: "id", SecretAccessKey: "secret", Region: "us-east-1"},
		Budget: weir.NewBudget(64 << 20),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.watch = 5 * time.Millisecond
	s.b.PartSize = func(int64) int64 { return part }
	s.b.MarkedSize = func(n int64) int64 {
		if n >= least && n < part {
			return n - n%least
		}
		return min(n, part) / part * part
	}
	return s
}

// keys returns the keys below the prefix, in order. hidden selects those of uploads.
func (f *fake) keys(hidden bool) (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.objects {
		if strings.Contains(key, "/.weir-uploads/") == hidden {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := fakeBody(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests[r.Method]++
	if f.refuse != nil && f.refuse(r) {
		fail(w, 503, "SlowDown")
		return
	}
	if f.deny != nil && f.deny(r) {
		fail(w, 403, "AccessDenied")
		return
	}
	if f.hide != nil && f.hide(r) {
		fail(w, 200, "InternalError")
		return
	}
	if f.lose != nil && f.lose(r) {
		defer fail(w, 503, "SlowDown")
		w = httptest.NewRecorder()
	}
	key := strings.TrimPrefix(r.URL.Path, "/bucket/")
	q := r.URL.Query()
	upload := f.uploads[q.Get("uploadId")]
	switch {
	case q.Has("list-type"):
		f.list(w, r)
	case q.Has("uploads") && r.Method == "GET":
		fmt.Fprint(w, `<ListMultipartUploadsResult>`)
		for id, u := range f.uploads {
			fmt.Fprintf(w, `<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>`, u.key, id, u.began.UTC().Format(time.RFC3339Nano))
		}
		fmt.Fprint(w, `</ListMultipartUploadsResult>`)
	case q.Has("uploads"):
		f.serial++
		id := fmt.Sprint("upload-", f.serial)
		f.uploads[id] = &fakeUpload{key: key, mark: r.Header.Get("X-Amz-Meta-Weir-Upload"), began: time.Now(), parts: map[int][]byte{}}
		fmt.Fprintf(w, `<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>`, id)
	case q.Has("uploadId") && (upload == nil || upload.key != key):
		fail(w, 404, "NoSuchUpload")
	case q.Has("partNumber"):
		n, _ := strconv.Atoi(q.Get("partNumber"))
		if from := r.Header.Get("X-Amz-Copy-Source"); from != "" {
			o, ok := f.objects[strings.TrimPrefix(strings.TrimPrefix(from, "/"), "bucket/")]
			if !ok {
				fail(w, 404, "NoSuchKey")
				return
			}
			upload.parts[n] = o.data
			fmt.Fprintf(w, `<CopyPartResult><ETag>%q</ETag></CopyPartResult>`, etagOf(o.data))
			return
		}
		upload.parts[n] = body
		w.Header().Set("ETag", `"`+etagOf(body)+`"`)
	case q.Has("uploadId") && r.Method == "DELETE":
		delete(f.uploads, q.Get("uploadId"))
		w.WriteHeader(204)
	case q.Has("uploadId") && r.Method == "GET":
		fmt.Fprint(w, `<ListPartsResult>`)
		for n, part := range upload.parts {
			fmt.Fprintf(w, `<Part><PartNumber>%d</PartNumber><Size>%d</Size><LastModified>%s</LastModified></Part>`, n, len(part), upload.began.UTC().Format(time.RFC3339Nano))
		}
		fmt.Fprint(w, `</ListPartsResult>`)
	case q.Has("uploadId"):
		f.complete(w, r, key, q.Get("uploadId"), body)
	case r.Method == "PUT":
		if f.mayWrite(w, r, key) {
			w.Header().Set("ETag", `"`+f.store(key, body, r.Header.Get("X-Amz-Meta-Weir-Upload"))+`"`)
		}
	case r.Method == "DELETE":
		delete(f.objects, key)
		w.WriteHeader(204)
	default:
		f.get(w, r, key)
	}
}

func (f *fake) store(key string, data []byte, mark string) string {
	o := fakeObject{data, etagOf(data), mark, time.Now()}
	f.objects[key] = o
	return o.etag
}

func etagOf(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// mayWrite evaluates the conditions of a request.
func (f *fake) mayWrite(w http.ResponseWriter, r *http.Request, key string) bool {
	o, exists := f.objects[key]
	match := strings.Trim(r.Header.Get("If-Match"), `"`)
	switch {
	case f.ignore:
	case r.Header.Get("If-None-Match") == "*" && exists, match != "" && exists && match != o.etag:
		fail(w, 412, "PreconditionFailed")
		return false
	case match != "" && !exists:
		fail(w, 404, "NoSuchKey")
		return false
	}
	return true
}

func (f *fake) complete(w http.ResponseWriter, r *http.Request, key, id string, body []byte) {
	var list struct {
		Part []struct{ PartNumber int }
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		fail(w, 400, "MalformedXML")
		return
	}
	if !f.mayWrite(w, r, key) {
		return
	}
	var all []byte
	for _, p := range list.Part {
		part, ok := f.uploads[id].parts[p.PartNumber]
		if !ok {
			fail(w, 400, "InvalidPart")
			return
		}
		all = append(all, part...)
	}
	etag := f.store(key, all, f.uploads[id].mark)
	delete(f.uploads, id)
	fmt.Fprintf(w, `<CompleteMultipartUploadResult><Bucket>bucket</Bucket><Key>%s</Key><ETag>%q</ETag></CompleteMultipartUploadResult>`, key, etag)
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	o, ok := f.objects[key]
	match := strings.Trim(r.Header.Get("If-Match"), `"`)
	switch {
	case !ok:
		fail(w, 404, "NoSuchKey")
		return
	case match != "" && match != o.etag:
		fail(w, 412, "PreconditionFailed")
		return
	}
	h := w.Header()
	h.Set("ETag", `"`+o.etag+`"`)
	if o.mark != "" {
		h.Set("X-Amz-Meta-Weir-Upload", o.mark)
	}
	http.ServeContent(w, r, "", o.modified, strings.NewReader(string(o.data)))
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	prefix, after, most := q.Get("prefix"), q.Get("start-after"), 3 // small pages
	var keys []string
	for key := range f.objects {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if i := strings.Index(key[len(prefix):], "/"); i >= 0 && q.Get("delimiter") == "/" {
			key = key[:len(prefix)+i+1]
		}
		if key > max(after, q.Get("continuation-token")) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	more := len(keys) > most
	keys = keys[:min(len(keys), most)]
	fmt.Fprintf(w, `<ListBucketResult><Name>bucket</Name><IsTruncated>%v</IsTruncated>`, more)
	if more {
		fmt.Fprintf(w, `<NextContinuationToken>%s</NextContinuationToken>`, keys[most-1])
	}
	for _, key := range keys {
		if o, ok := f.objects[key]; ok {
			fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>%d</Size><ETag>%q</ETag><LastModified>%s</LastModified></Contents>`,
				key, len(o.data), o.etag, o.modified.UTC().Format(time.RFC3339Nano))
		} else {
			fmt.Fprintf(w, `<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>`, key)
		}
	}
	fmt.Fprint(w, `</ListBucketResult>`)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<Error><Code>%s</Code><Message>made by the test</Message></Error>`, code)
}

// fakeBody reads a body, which can be in signed chunks: SIZE;chunk-signature=…, the bytes.
func fakeBody(r *http.Request) []byte {
	raw, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING") {
		return raw
	}
	var out []byte
	for len(raw) > 0 {
		line, rest, _ := strings.Cut(string(raw), "\r\n")
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || n == 0 {
			break
		}
		out = append(out, rest[:n]...)
		raw = []byte(rest[n:])
		raw = raw[min(2, len(raw)):]
	}
	return out
}
