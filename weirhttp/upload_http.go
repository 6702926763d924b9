package weirhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"strconv"

	"github.com/weir-go/weir/weirhttp/internal/digest"
	"github.com/weir-go/weir/weirhttp/internal/precondition"
)

// httpUploads receives resumable uploads over HTTP, in all versions of drafts. It is stateless:
// each request finds its upload in the store.
type httpUploads struct{ *resumption }

// httpUpload is one request of a resumable upload over HTTP.
type httpUpload struct {
	*resumption
	w   http.ResponseWriter
	r   *http.Request
	d   *draft
	req *uploadRequest // of a request with a body
	s   *session       // nil: none

	complete bool  // the body ends the file
	length   int64 // of the file, as the request says; -1: it does not say
	told     bool  // the client knows the URL of the upload
}

// ServeHTTP answers one request.
func (h *httpUploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d, err := draftOf(r.Header)
	if err != nil {
		h.set.refuse(w, r, err)
		return
	}
	up := &httpUpload{resumption: h.resumption, w: w, r: r, d: d}
	switch r.Method {
	case http.MethodPost, http.MethodPut:
		err = up.withBody(transferName(r), up.create)
	case http.MethodPatch:
		err = up.withBody(unnamedUpload, up.append)
	case http.MethodDelete:
		err = up.cancel()
	default:
		err = up.tell()
	}
	switch {
	case err == nil:
	case isBrokenOff(err) && (up.told || r.Method == http.MethodPatch):
		// A client resumes after a broken connection. After a status like 400 it
		// gives up.
		h.set.log.Info("upload interrupted", "error", err, "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr)
		panic(http.ErrAbortHandler)
	default:
		up.refuse(err)
	}
}

// transferName returns the name of the transfer that creates an upload.
func transferName(r *http.Request) string {
	if name, err := nameOf(r); err == nil {
		return name
	}
	return unnamedUpload
}

// withBody calls handle for a request whose body another request can interrupt.
func (up *httpUpload) withBody(name string, handle func() error) error {
	up.req = newUploadRequest(up.r)
	defer up.req.end()
	up.req.x = begin(up.r, Upload, name, up.r.ContentLength)
	defer up.req.x.end(errPanicked) // unless it has ended
	defer func() {
		if up.s != nil {
			up.s.end()
		}
	}()
	err := handle()
	if up.s != nil {
		up.s.end()
	}
	up.req.x.end(err)
	return err
}

// create creates an upload and stores the bytes of it that the request brings.
func (up *httpUpload) create() error {
	state, err := up.announced()
	if err != nil {
		return err
	}
	if err := up.store.allows(wantedName("", &state), up.set.rule(state.Terms)); err != nil {
		return err
	}
	ctx := context.WithoutCancel(up.r.Context())
	if up.s, err = up.begin(ctx, up.req, state); err != nil {
		return err
	}
	if up.r.ContentLength != 0 {
		up.tellResumable()
	}
	err = up.receive()
	if err != nil && !up.resumes(err) {
		if rerr := up.s.remove(ctx); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			up.set.log.Error("cannot remove a failed upload", "error", rerr)
		}
	}
	if err != nil || up.complete {
		return err
	}
	up.s.end() // the client can come back before we have returned
	h := up.w.Header()
	h.Set("Location", up.url())
	up.describe(h)
	up.answerEmpty(http.StatusCreated)
	return nil
}

// resumes reports whether the client of a creation that failed can continue the upload: it
// knows the URL, and takes the error for a passing one.
func (up *httpUpload) resumes(err error) bool {
	status, _ := uploadStatus(err)
	return up.told && (isBrokenOff(err) || status >= http.StatusInternalServerError)
}

// announced returns the state of a new upload, as the request describes it.
func (up *httpUpload) announced() (uploadState, error) {
	if isMultipart(up.r) {
		return uploadState{}, &refusal{http.StatusUnsupportedMediaType, "A form cannot be sent in parts"}
	}
	name, err := nameOf(up.r)
	if err != nil {
		return uploadState{}, err
	}
	if err := up.read(0); err != nil {
		return uploadState{}, err
	}
	if up.complete && hasNoLength(up.r) {
		return uploadState{}, errNoLength
	}
	state := uploadState{
		Size: up.length, Deferred: up.length < 0, Explicit: true,
		Metadata: map[string]string{"name": name}, Terms: precondition.Of(up.r.Header),
	}
	if state.Folder, err = up.set.folderOf(up.r); err != nil {
		return uploadState{}, err
	}
	if state.Deferred {
		state.Size = 0
	}
	whole := make(map[string][]string)
	for _, field := range [...]string{"Repr-Digest", "Digest", "Content-Md5"} {
		if lines := up.r.Header.Values(field); len(lines) > 0 {
			whole[field] = lines
		}
	}
	if sums, err := digest.New(whole, nil, false); err != nil {
		return uploadState{}, err
	} else if sums.HasHeader() {
		state.Digests = whole
	}
	return state, nil
}

// read reads and checks the headers of a request with a body. offset is where the body
// belongs in the file.
func (up *httpUpload) read(offset int64) (err error) {
	if err := acceptable(up.r); err != nil {
		return err
	}
	for name := range up.r.Trailer {
		if name == "Repr-Digest" || name == "Digest" {
			return &refusal{http.StatusBadRequest, name + " in the trailer is not supported for resumable uploads"}
		}
	}
	if up.req.checksum, err = newChecksum(up.r); err != nil {
		return err
	}
	var ok bool
	if up.complete, ok = up.d.complete(up.r.Header); !ok {
		switch {
		case up.d.saysWhole:
			return &refusal{http.StatusBadRequest, "Missing or malformed " + completeField}
		case up.d.inverse:
			up.complete = true
		}
	}
	up.length = -1
	if n, ok := sfInteger(up.r.Header.Values(lengthField)); ok {
		up.length = n
	}
	if most := up.set.maxSize; most > 0 && max(up.length, offset+up.r.ContentLength) > most {
		return &http.MaxBytesError{Limit: most}
	}
	if most := up.set.maxRequest; most > 0 && up.r.ContentLength > most {
		return errRequest(most)
	}
	if n := up.r.ContentLength; up.complete && n >= 0 {
		if up.length >= 0 && up.length != offset+n {
			return &problem{kind: inconsistentLength, text: fmt.Sprintf("%s is %d, and with this request the file has %d bytes", lengthField, up.length, offset+n)}
		}
		up.length = offset + n
	}
	return nil
}

// append adds the body of a PATCH to an upload.
func (up *httpUpload) append() error {
	id := lastElement(up.r.URL.Path)
	if t, _, _ := mime.ParseMediaType(up.r.Header.Get("Content-Type")); up.d.mediaType && t != partialUpload {
		return &refusal{http.StatusUnsupportedMediaType, "The Content-Type of an append must be " + partialUpload}
	}
	offset, ok := sfInteger(up.r.Header.Values(offsetField))
	if !ok {
		return &refusal{http.StatusBadRequest, "Missing or malformed " + offsetField}
	}
	if err := up.read(offset); err != nil {
		return err
	}
	ctx := context.WithoutCancel(up.r.Context())
	var err error
	up.s, err = up.take(ctx, id, up.req, func(state uploadState) error { return up.fits(state, offset) })
	if err != nil {
		return err
	}
	state := up.s.state
	if state.Deferred && up.length >= 0 {
		if err := up.s.declare(ctx, up.length); err != nil {
			return err
		}
	}
	if n := up.r.ContentLength; !state.Deferred && offset+n > state.Size {
		return up.beyond(ctx, state.Size)
	}
	if err := up.receive(); err != nil || up.complete {
		return err
	}
	status := http.StatusNoContent
	if up.d.created {
		status = http.StatusCreated
	}
	up.s.end()
	up.describe(up.w.Header())
	up.answerEmpty(status)
	return nil
}

// fits refuses an append that does not continue the upload.
func (up *httpUpload) fits(state uploadState, offset int64) error {
	whole := up.complete && up.r.ContentLength >= 0
	switch {
	case state.Phase == uploadDone, state.Phase == uploadPlacing && !(up.complete && up.r.ContentLength == 0):
		return &problem{kind: completedUpload, text: "The upload is complete; nothing can be added", offset: state.Offset}
	case offset != state.Offset:
		return &problem{kind: mismatchingOffset, text: fmt.Sprintf("%s is %d, and the upload has %d bytes", offsetField, offset, state.Offset),
			offset: state.Offset, provided: offset}
	case !state.Deferred && up.length >= 0 && up.length != state.Size:
		text := fmt.Sprintf("%s is %d, and was %d", lengthField, up.length, state.Size)
		if whole {
			text = fmt.Sprintf("With this request the file has %d bytes, and %d were announced", up.length, state.Size)
		}
		return &problem{kind: inconsistentLength, text: text, offset: state.Offset}
	case up.length >= 0 && up.length < offset+max(up.r.ContentLength, 0):
		return &problem{kind: inconsistentLength, text: fmt.Sprintf("%s is %d, and with this request there are more bytes", lengthField, up.length), offset: state.Offset}
	case !up.d.voids && !state.Deferred && offset+up.r.ContentLength > state.Size:
		return &problem{kind: inconsistentLength, text: fmt.Sprintf("More than the announced %d bytes", state.Size), offset: state.Offset}
	}
	return nil
}

// beyond refuses an append beyond the length of the file. In the versions that say so, the
// upload ends.
func (up *httpUpload) beyond(ctx context.Context, length int64) error {
	p := &problem{kind: inconsistentLength, text: fmt.Sprintf("More than the announced %d bytes", length), offset: up.s.state.Offset}
	if up.d.voids {
		if err := up.s.remove(ctx); err != nil {
			return err
		}
		p.text += "; the upload has been removed"
	}
	return p
}

// receive appends the body. If that completes the upload, receive gives the file its name
// and answers.
func (up *httpUpload) receive() error {
	s := up.s
	from := s.data.size()
	most := s.most()
	if m := up.set.maxRequest; m > 0 {
		most = min(most, from+m)
	}
	_, err := s.append(up.req, most, true)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		switch {
		case !s.state.Deferred && most == s.state.Size:
			return up.beyond(context.WithoutCancel(up.r.Context()), most)
		case most != up.set.maxSize:
			return errRequest(up.set.maxRequest)
		}
	}
	if err != nil || !up.complete {
		return err
	}
	if !s.state.Deferred && s.state.Offset != s.state.Size {
		return &problem{kind: inconsistentLength, text: fmt.Sprintf("The file has %d bytes, and %d were announced", s.state.Offset, s.state.Size), offset: s.state.Offset}
	}
	got, replaced, err := s.finish()
	if err != nil {
		return err
	}
	up.answerComplete(got, replaced)
	return nil
}

// answerComplete gives the answer that the client would have got if it had sent the file in
// one ordinary request.
func (up *httpUpload) answerComplete(got Received, replaced bool) {
	h := up.w.Header()
	h.Set(offsetField, strconv.FormatInt(got.Size, 10))
	up.d.tellComplete(h, true)
	up.tellLimits(h)
	if up.r.Method != http.MethodPatch && (up.d.own || up.set.url == "") {
		h.Set("Location", up.url())
	}
	status := http.StatusCreated
	if replaced {
		status = http.StatusOK
	}
	up.set.answer(up.w, up.r, status, got.Name, got)
}

// tell answers HEAD and GET with how far the upload has come. It ends a request that still
// adds to the upload, so that the offset stays valid.
func (up *httpUpload) tell() error {
	if err := up.asks(); err != nil {
		return err
	}
	ctx := context.WithoutCancel(up.r.Context())
	s, err := up.take(ctx, lastElement(up.r.URL.Path), nil, func(uploadState) error { return nil })
	if err != nil {
		return err
	}
	up.s = s
	if s.state.Phase == uploadPlacing {
		// The server has stopped before it could answer. The file has its name, or can
		// get it now; or the client learns that the upload is not complete.
		if got, _, err := s.finish(); err == nil {
			s.state.Phase, s.state.Offset, s.state.Size, s.state.Deferred = uploadDone, got.Size, got.Size, false
		}
	}
	s.end()
	h := up.w.Header()
	up.describe(h)
	if !s.state.Deferred {
		h.Set(lengthField, strconv.FormatInt(s.state.Size, 10))
	}
	h.Set("Cache-Control", "no-store")
	up.answerEmpty(http.StatusNoContent)
	return nil
}

// cancel removes an upload and ends the request that still adds to it.
func (up *httpUpload) cancel() error {
	if err := up.asks(); err != nil {
		return err
	}
	ctx := context.WithoutCancel(up.r.Context())
	s, err := up.take(ctx, lastElement(up.r.URL.Path), nil, func(state uploadState) error {
		if state.Phase == uploadDone {
			return errComplete
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.remove(ctx); err != nil {
		return err
	}
	up.answerEmpty(http.StatusNoContent)
	return nil
}

// asks refuses a request without a body that has header fields of one with a body.
func (up *httpUpload) asks() error {
	for _, name := range [...]string{offsetField, completeField, incompleteField} {
		if len(up.r.Header.Values(name)) > 0 {
			return &refusal{http.StatusBadRequest, fmt.Sprintf("%s with %s makes no sense", up.r.Method, name)}
		}
	}
	return nil
}

// url returns the URL of the upload.
func (up *httpUpload) url() string { return mountOf(up.r) + up.s.id }

// tellResumable sends the interim response that tells the client the URL of the upload.
func (up *httpUpload) tellResumable() {
	if !up.r.ProtoAtLeast(1, 1) {
		return
	}
	h := up.w.Header()
	h.Set("Location", up.url())
	up.tellLimits(h)
	if up.d.version != "" {
		h.Set(versionField, up.d.version)
	}
	up.w.WriteHeader(statusResumable)
	for _, name := range [...]string{"Location", limitField, versionField} {
		h.Del(name)
	}
	up.told = true
}

// describe sets the header fields about the state of the upload.
func (up *httpUpload) describe(h http.Header) {
	h.Set(offsetField, strconv.FormatInt(up.s.state.Offset, 10))
	up.d.tellComplete(h, up.s.state.Phase == uploadDone)
	up.tellLimits(h)
}

func (up *httpUpload) tellLimits(h http.Header) {
	if up.d.limits {
		h.Set(limitField, up.set.limits(up.d.lifetime))
	}
}

// answerEmpty answers without a body.
func (up *httpUpload) answerEmpty(status int) {
	h := up.w.Header()
	if status != http.StatusNoContent {
		h.Set("Content-Length", "0")
	}
	closeBehind(h, up.r)
	up.w.WriteHeader(status)
	linger(up.w, up.r, status)
}

// refuse answers a request that failed.
func (up *httpUpload) refuse(err error) {
	h := up.w.Header()
	if errors.Is(err, fs.ErrNotExist) {
		err = &refusal{http.StatusNotFound, "There is no such upload"}
	}
	var p *problem
	if errors.As(err, &p) {
		if p.kind != inconsistentLength || p.offset > 0 {
			h.Set(offsetField, strconv.FormatInt(p.offset, 10))
		}
		err = &refusal{p.kind.status, p.text}
	}
	status, text := up.set.failure(h, up.r, err)
	if up.req != nil {
		up.d.tellComplete(h, false)
	}
	if status == http.StatusRequestEntityTooLarge {
		up.tellLimits(h)
	}
	if p == nil || !up.d.problems {
		refuse(up.w, up.r, status, text)
		return
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	up.set.answerJSON(up.w, up.r, status, p)
	linger(up.w, up.r, status)
}

// problemKind is a problem type of the protocol (RFC 9457).
type problemKind struct {
	name, title string
	status      int
}

var (
	mismatchingOffset  = problemKind{"mismatching-upload-offset", "offset from request does not match offset of resource", http.StatusConflict}
	inconsistentLength = problemKind{"inconsistent-upload-length", "inconsistent length values for upload", http.StatusBadRequest}
	completedUpload    = problemKind{"completed-upload", "upload is already completed", http.StatusBadRequest}
)

// problem is the error of a request that contradicts the state of its upload.
type problem struct {
	kind             problemKind
	text             string
	offset, provided int64 // of the upload, and as the request says
}

func (p *problem) Error() string { return p.text }

// MarshalJSON returns the problem in the form of RFC 9457.
func (p *problem) MarshalJSON() ([]byte, error) {
	out := map[string]any{
		"type":  "https://iana.org/assignments/http-problem-types#" + p.kind.name,
		"title": p.kind.title, "status": p.kind.status, "detail": p.text,
	}
	if p.kind == mismatchingOffset {
		out["expected-offset"], out["provided-offset"] = p.offset, p.provided
	}
	return json.Marshal(out)
}
