package weirhttp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"

	"github.com/weir-go/weir/weirhttp/internal/digest"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/precondition"
	"github.com/weir-go/weir/weirhttp/internal/quota"
)

const (
	mostFiles  = 1000     // files in one form
	mostFields = 1 << 20  // bytes of a form that are not in files
	mostHead   = 64 << 10 // bytes of the header of one part, which are not from the budget
	formBuffer = 64 << 10 // package multipart would read 4 KiB at a time
)

// form is a multipart upload under way.
type form struct {
	set   *settings
	to    target
	body  *requestBody
	parts *multipart.Reader
	head  int64 // bytes left for the header of the next part
	rule  rule
	ahead *quota.Hold // space for the part of the body that no file has reserved yet; nil: the target reserves none
	files []formFile
	x     *transfer
}

type formFile struct {
	newFile
	name string
	sum  string
}

func openForm(r *http.Request, body *requestBody, set *settings, to target) (*form, error) {
	digests, err := digest.New(r.Header, nil, false)
	if err != nil || digests.HasHeader() {
		return nil, &refusal{http.StatusBadRequest, "A digest of a whole form is not supported"}
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, &refusal{http.StatusBadRequest, "The form has no boundary"}
	}
	f := &form{set: set, to: to, body: body, rule: set.rule(precondition.Of(r.Header))}
	if d, ok := to.(folderTarget); ok {
		if f.ahead, err = d.ledger.Take(max(r.ContentLength, 0)); err != nil {
			return nil, err
		}
	}
	f.parts = multipart.NewReader(bufio.NewReaderSize(timely{f}, formBuffer), params["boundary"])
	return f, nil
}

// timely is the body of a form. It extends the deadline for every read, and fails if the
// header of a part is too long.
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

// store reads the form to its end and gives the files their names. With an error it returns
// the files that are stored all the same.
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
	return f.publish(r.Context())
}

// end reads the bytes behind the last part, so that the connection can stay open.
func (f *form) end() error {
	_, err := io.CopyN(io.Discard, timely{f}, formBuffer)
	if err == nil {
		return &refusal{http.StatusBadRequest, "Unexpected data after the end of the form"}
	}
	if err != io.EOF {
		return malformed(err)
	}
	return nil
}

// take stores one file under a temporary name.
func (f *form) take(r *http.Request, part *multipart.Part) error {
	name := names.Safe(part.FileName())
	if name == "" {
		name = names.New()
	}
	folder, err := f.to.folderOf(r)
	if err != nil {
		return err
	}
	name = path.Join(folder, name)
	if err := f.to.admits(r.Context(), name, f.rule); err != nil {
		return err
	}
	digests, err := digest.New(http.Header(part.Header), nil, f.set.showDigest)
	if err != nil {
		return err
	}
	in, err := f.to.receive(r.Context(), -1)
	if err != nil {
		return err
	}
	f.files = append(f.files, formFile{in, name, ""})
	body := *f.body // the same connection, with another limit
	body.body, body.limit, body.n = part, f.set.maxSize, 0
	c := clientReader{body: &body, budget: f.set.budget, queue: f.set.queue}
	if err := c.copyTo(r.Context(), formRoom{f, in}, digests, f.x); err != nil {
		return malformed(err)
	}
	if err := digests.Check(nil); err != nil {
		return err
	}
	f.files[len(f.files)-1].sum = digests.SHA256()
	return in.finish()
}

// formRoom is a file of a form. It takes its space from the space of the form.
type formRoom struct {
	f  *form
	in newFile
}

func (w formRoom) Write(p []byte) (int, error) {
	if in, ok := w.in.(*incoming); ok {
		w.f.ahead.Hand(in.hold, int64(len(p)))
	}
	return w.in.Write(p)
}

// publish gives the files their names. All of them are complete, and each could have its
// name, before the first one gets it. If one of them cannot get its name all the same, the
// others lose theirs, except those that have replaced a file, which nobody could restore.
// publish returns these with the error.
//
// A file never replaces another one of the same form; it gets a number.
func (f *form) publish(ctx context.Context) ([]Received, error) {
	if f.rule.mode == replace { // check first, since a replaced file cannot be restored
		for _, file := range f.files {
			if err := f.to.admits(ctx, file.name, f.rule); err != nil {
				return nil, err
			}
		}
	}
	var placed []placedFile
	ended := false
	defer func() {
		if !ended { // the store has panicked
			f.withdraw(placed)
		}
	}()
	given := make(map[string]bool)
	for _, file := range f.files {
		own := f.rule
		if own.mode == replace && given[file.name] {
			own = rule{mode: keepBoth}
		}
		got, replaced, err := file.publish(file.name, own)
		if got.Name != "" { // it can have its name although there is an error
			given[got.Name] = true
			got.SHA256 = file.sum
			placed = append(placed, placedFile{file, got, replaced})
		}
		if err != nil {
			ended = true
			return f.withdraw(placed), err
		}
	}
	ended = true
	list := make([]Received, len(placed))
	for i, p := range placed {
		list[i] = p.got
	}
	return list, nil
}

// placedFile is a file of a form that has its name.
type placedFile struct {
	file     formFile
	got      Received
	replaced bool // another file had the name
}

// withdraw removes the files that got their names, if not all of them could or if the
// names did not reach stable storage. It returns those that stay.
func (f *form) withdraw(placed []placedFile) (stay []Received) {
	for _, p := range placed {
		if p.replaced {
			stay = append(stay, p.got)
			continue
		}
		if err := p.file.withdraw(p.got); err != nil {
			f.set.log.Error("cannot remove a file of a failed upload", "file", p.got.Name, "error", err)
		}
	}
	return stay
}

func (f *form) abort() {
	for _, file := range f.files {
		file.abort()
	}
	if f.ahead != nil {
		f.ahead.Release()
	}
}

// malformed turns errors of package multipart into refusals.
func malformed(err error) error {
	if status, _ := uploadStatus(err); status == http.StatusInternalServerError && strings.HasPrefix(err.Error(), "multipart") ||
		errors.Is(err, multipart.ErrMessageTooLarge) {
		return &refusal{http.StatusBadRequest, "The form is malformed"}
	}
	return err
}
