package weirhttp

import (
	"bufio"
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

const (
	mostFiles  = 1000     // files in one form
	mostFields = 1 << 20  // bytes of a form that are not in files
	mostHead   = 64 << 10 // bytes of one part in front of what is in it, which are not from the budget
	formBuffer = 64 << 10 // package multipart itself would read 4 KiB at a time
)

func isMultipart(r *http.Request) bool {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t == "multipart/form-data"
}

// takeForm stores the files of a form: all of them get their names, or none.
func (u *Uploads) takeForm(w http.ResponseWriter, r *http.Request, body *requestBody, d *folder) error {
	if err := u.acceptable(r); err != nil {
		return err
	}
	form, err := u.openForm(r, body, d)
	if err != nil {
		return err
	}
	defer form.abort()
	form.x = begin(r, Upload, "form", r.ContentLength)
	list, err := form.store(r)
	form.x.end(err)
	if err != nil {
		return err
	}
	for _, got := range list {
		u.done(got)
	}
	u.answer(w, r, http.StatusCreated, list[0].Name, list)
	return nil
}

// form is a multipart body on its way.
type form struct {
	u     *Uploads
	d     *folder
	body  *requestBody
	parts *multipart.Reader
	head  int64 // bytes that may come before the next part begins
	rule  rule
	ahead *hold // room for the whole body, as far as no file has it
	files []formFile
	x     *transfer
}

type formFile struct {
	*incoming
	name string
	sum  string
}

func (u *Uploads) openForm(r *http.Request, body *requestBody, d *folder) (*form, error) {
	digests, err := wanted(r.Header, nil, false)
	if err != nil || len(digests.header) > 0 {
		return nil, &refusal{http.StatusBadRequest, "A digest of a whole form is not supported"}
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, &refusal{http.StatusBadRequest, "The form has no boundary"}
	}
	ahead, err := d.ledger.take(max(r.ContentLength, 0))
	if err != nil {
		return nil, err
	}
	f := &form{u: u, d: d, body: body, rule: u.rule(termsOf(r.Header)), ahead: ahead}
	f.parts = multipart.NewReader(bufio.NewReaderSize(timely{f}, formBuffer), params["boundary"])
	return f, nil
}

// timely is the body of a form. It gives the client its time anew for every
// read, and ends where the header of a part is too long.
type timely struct{ f *form }

func (t timely) Read(p []byte) (int, error) {
	if t.f.head <= 0 {
		return 0, &refusal{http.StatusRequestEntityTooLarge, "The header of a part of the form is too large"}
	}
	if err := t.f.body.extend(); err != nil {
		return 0, err
	}
	n, err := t.f.body.Read(p)
	t.f.head -= int64(n)
	return n, err
}

// store reads the form to its end and gives the files their names.
func (f *form) store(r *http.Request) ([]Received, error) {
	fields := int64(mostFields)
	for {
		f.head = mostHead
		part, err := f.parts.NextPart()
		f.head = math.MaxInt64
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, malformed(err)
		}
		if part.FileName() == "" {
			n, err := io.CopyN(io.Discard, part, fields+1)
			if fields -= n; fields < 0 {
				return nil, &refusal{http.StatusRequestEntityTooLarge, "The fields of the form are too large"}
			}
			if err != nil && err != io.EOF {
				return nil, malformed(err)
			}
			continue
		}
		if len(f.files) == mostFiles {
			return nil, &refusal{http.StatusRequestEntityTooLarge, "The form has too many files"}
		}
		if err := f.take(r, part); err != nil {
			return nil, err
		}
	}
	if len(f.files) == 0 {
		return nil, &refusal{http.StatusBadRequest, "The form has no file"}
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return f.publish()
}

// end reads what follows the last part, so that the connection can be kept.
func (f *form) end() error {
	_, err := io.CopyN(io.Discard, timely{f}, formBuffer)
	if err == nil {
		return &refusal{http.StatusBadRequest, "The form does not end where it says"}
	}
	if err != io.EOF {
		return malformed(err)
	}
	return nil
}

// take stores one file under a temporary name.
func (f *form) take(r *http.Request, part *multipart.Part) error {
	name := SafeName(part.FileName())
	if name == "" {
		name = unnamed()
	}
	if _, err := f.d.allows(name, f.rule); err != nil {
		return err
	}
	digests, err := wanted(http.Header(part.Header), nil, !f.u.NoDigest)
	if err != nil {
		return err
	}
	in, err := f.d.receive(0)
	if err != nil {
		return err
	}
	f.files = append(f.files, formFile{in, name, ""})
	body := *f.body // the same connection, with a limit of its own
	body.body, body.limit, body.n = part, f.u.MaxSize, 0
	if err := f.u.copy(r.Context(), formRoom{f, in}, &body, digests, f.x); err != nil {
		return malformed(err)
	}
	if err := digests.check(nil); err != nil {
		return err
	}
	f.files[len(f.files)-1].sum = digests.sha256()
	return in.finish()
}

// formRoom is a file of a form, which gets its room from that of the form.
type formRoom struct {
	f  *form
	in *incoming
}

func (w formRoom) Write(p []byte) (int, error) {
	w.f.ahead.hand(w.in.hold, int64(len(p)))
	return w.in.Write(p)
}

// publish gives the files their names. One does not replace another one of the
// same form: it gets a number.
func (f *form) publish() ([]Received, error) {
	if f.rule.mode == replace { // nothing brings back what was replaced
		for _, file := range f.files {
			if _, err := f.d.allows(file.name, f.rule); err != nil {
				return nil, err
			}
		}
	}
	list := make([]Received, 0, len(f.files))
	given := make(map[string]bool)
	for _, file := range f.files {
		own := f.rule
		if own.mode == replace && given[file.name] {
			own = rule{mode: keepBoth}
		}
		got, _, err := file.publish(file.name, own)
		if got.Name != "" { // which it may have although there is an error
			given[got.Name] = true
			got.SHA256 = file.sum
			list = append(list, got)
		}
		if err != nil {
			if f.rule.mode != replace {
				f.withdraw(list)
			}
			return nil, err
		}
	}
	return list, nil
}

// withdraw removes files that got their names when not all could, or when the
// names could not be brought to stable storage.
func (f *form) withdraw(list []Received) {
	for _, got := range list {
		if err := f.d.ledger.unpublish(got.Size, func() error { return f.d.root.Remove(got.Name) }); err != nil {
			f.u.log().Error("a part of a broken upload could not be removed", "file", got.Name, "error", err)
		}
	}
}

func (f *form) abort() {
	for _, file := range f.files {
		file.abort()
	}
	f.ahead.release()
}

// malformed makes errors of package multipart the client's.
func malformed(err error) error {
	if status, _ := uploadStatus(err); status == http.StatusInternalServerError && strings.HasPrefix(err.Error(), "multipart") ||
		errors.Is(err, multipart.ErrMessageTooLarge) {
		return &refusal{http.StatusBadRequest, "The form is malformed"}
	}
	return err
}

// dispositionName returns the file name in a Content-Disposition header.
func dispositionName(h string) string {
	_, params, err := mime.ParseMediaType(h)
	if err != nil {
		return ""
	}
	return params["filename"]
}
