package weirhttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// requestBody is the body of a request with a limit on its length and on how
// long its client may send nothing.
type requestBody struct {
	body   io.ReadCloser
	rc     *http.ResponseController
	stall  time.Duration // negative: any
	length int64         // as announced; -1: not known
	limit  int64         // most bytes; 0: any
	n      int64

	conn *conn         // that it comes over, if that is under a guard, which has a least rate
	late time.Duration // how far its client is behind that

	touched bool // Read was called, which sends a 100 Continue that is waited for
	ended   bool // all of it has come
	beside  bool // part of it was read beside net/http
	slow    bool // it came too slowly
}

// withBody returns r with a requestBody as its Body.
func withBody(w http.ResponseWriter, r *http.Request, stall time.Duration) (*http.Request, *requestBody) {
	b := &requestBody{body: r.Body, rc: http.NewResponseController(w), stall: stall, length: r.ContentLength, conn: connOf(r)}
	r = r.WithContext(r.Context())
	r.Body = b
	return r, b
}

// extend gives the client its time anew, in place of what the server gives it.
func (b *requestBody) extend() error {
	if b.stall < 0 {
		return b.SetReadDeadline(time.Time{})
	}
	return b.SetReadDeadline(time.Now().Add(b.stall - b.late))
}

// judge is told that n bytes have come, or err, after a wait for the client that
// leaves out for how long a rate held them back. It returns err, or that the client
// is too slow.
func (b *requestBody) judge(n int64, wait time.Duration, err error) error {
	if b.stall > 0 && wait >= b.stall-b.late && errors.Is(err, os.ErrDeadlineExceeded) {
		return errLate
	}
	if b.conn == nil {
		return err
	}
	b.late = behind(b.late, wait, n, b.conn.port.g.share(b.conn))
	if err == nil && b.stall > 0 && b.late >= b.stall {
		return errLate
	}
	return err
}

// errLate is the cause when a body came more slowly than at the least rate.
var errLate = fmt.Errorf("%w: %w", errSlow, os.ErrDeadlineExceeded)

// Read returns an *http.MaxBytesError when more comes than may.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.limit > 0 && int64(len(p)) > b.limit-b.n {
		p = p[:b.limit-b.n+1] // one byte more shows that there is more
	}
	b.touched = true
	began, waited := time.Now(), b.conn.waited()
	n, err := b.body.Read(p)
	b.n += int64(n)
	if b.limit > 0 && b.n > b.limit {
		b.n--
		return n - 1, &http.MaxBytesError{Limit: b.limit}
	}
	if err == io.EOF {
		b.ended = true
		// net/http reads on to notice a client that leaves. Our deadline
		// would look like one.
		if derr := b.SetReadDeadline(time.Time{}); derr != nil {
			err = derr
		}
	}
	err = b.judge(int64(n), time.Since(began)-(b.conn.waited()-waited), err)
	b.slow = b.slow || err == errLate
	return n, err
}

// SetReadDeadline does nothing where the server has no deadlines.
func (b *requestBody) SetReadDeadline(t time.Time) error {
	if err := b.rc.SetReadDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// Close closes the body.
func (b *requestBody) Close() error { return b.body.Close() }
