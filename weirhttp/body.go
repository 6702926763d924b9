package weirhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/internal/deny"
)

// BodyOptions change how [Body] reads. The zero value reads any number of bytes
// as they come.
type BodyOptions struct {
	// MaxSize is the most bytes that may come over the connection; more is an
	// *http.MaxBytesError. 0: any number.
	MaxSize int64

	// Limit is how much is read ahead, and so how far in front of the end of a
	// slow flow a client that left is noticed. The default is 256 KiB.
	Limit weir.Limit

	// Stall is how long the client may send nothing while it is waited for;
	// then the flow ends with os.ErrDeadlineExceeded. It takes the place of the
	// server's ReadTimeout and of the Stall of a [Guard], which hold if it is
	// 0. Negative: any time.
	Stall time.Duration

	// Decode takes off a Content-Encoding of gzip, deflate or zstd. MaxOutput
	// is the most bytes that may come out, 0: any number; and in any case not
	// more than 1,000 times as many as went in: compress.ErrTooLarge. Other data
	// behind the encoded data is compress.ErrTrailing, behind all that could be
	// decoded. Another encoding ends the flow with [ErrEncoding].
	Decode    bool
	MaxOutput int64
}

// ErrEncoding is the cause when a request has a Content-Encoding that is not
// known: the answer is 415.
var ErrEncoding = errors.New("Content-Encoding is not supported")

// Body begins a stream at the body of r. It can be run once. w is the writer of
// the answer; reading ends with the handler.
//
// The body is read ahead, as far as Limit goes, so that the flow ends as soon as
// the client leaves, also while a later stage is busy with what came before. When
// there is no more room, a connection that has ended before all of a body of known
// length came is noticed within a second: over HTTP/1 on Linux, under a [Guard]
// without rates or with [ConnContext].
//
// The error is what was wrong with the body, by the stage "body":
// io.ErrUnexpectedEOF where it ended too early, the connection's error,
// os.ErrDeadlineExceeded, or an *http.MaxBytesError; [BodyStatus] tells the status
// for it. net/http ends the
// request's context in each of these cases too, without saying why, so run the
// flow without that end. A client that leaves when all of its body has come does
// not end the flow.
//
//	body := weirhttp.Body(w, r, weirhttp.BodyOptions{})
//	err := body.To(sink).Run(context.WithoutCancel(r.Context()))
func Body(w http.ResponseWriter, r *http.Request, o BodyOptions) weir.Stream[byte] {
	b := &bodySource{r: r, rc: http.NewResponseController(w), o: o, broken: make(chan error)}
	s := weir.From(weir.Source[byte]{Name: "body", Open: b.open}).Async(o.Limit)
	if !o.Decode {
		return s
	}
	stage, err := decoder(r.Header.Values("Content-Encoding"), o.MaxOutput)
	switch {
	case err != nil:
		return weir.From(weir.Source[byte]{Name: "body", Err: err})
	case len(stage) == 0:
		return s
	}
	return s.Through(stage...)
}

// BodyStatus returns the status for a flow that began at a Body and ended with
// err: 400, 408, 413 or 415 if that was the client's fault, and 500 otherwise. A
// body that exceeds the limit of a stage, a [*weir.LimitError], is a 413.
func BodyStatus(err error) int {
	var stage *weir.StageError
	var tooLarge *http.MaxBytesError
	var corrupt *compress.CorruptError
	var limit *weir.LimitError
	switch {
	case errors.As(err, &tooLarge), errors.As(err, &limit):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrEncoding):
		return http.StatusUnsupportedMediaType
	case errors.As(err, &corrupt):
		return http.StatusBadRequest
	case errors.As(err, &stage) && stage.Stage == "body":
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return http.StatusRequestTimeout
		}
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// mostRatio is how many times as much a body may become when it is decoded:
// what gzip reaches with nothing but zeros.
const mostRatio = 1000

// decoder returns the stages that take off the encodings, the last one first.
func decoder(values []string, most int64) ([]weir.Stage[byte, byte], error) {
	opts := []compress.Option{compress.MaxRatio(mostRatio)}
	if most > 0 {
		opts = append(opts, compress.MaxOutput(most))
	}
	var stages []weir.Stage[byte, byte]
	for name := range strings.SplitSeq(strings.Join(values, ","), ",") {
		var st weir.Stage[byte, byte]
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "", "identity":
			continue
		case "gzip", "x-gzip":
			st = compress.Gunzip(opts...)
		case "deflate":
			st = compress.Unzlib(opts...)
		case "zstd":
			st = compress.Unzstd(opts...)
		default:
			return nil, fmt.Errorf("%w: %q", ErrEncoding, name)
		}
		stages = append([]weir.Stage[byte, byte]{st}, stages...)
	}
	if len(stages) > 2 {
		return nil, fmt.Errorf("%w: %d of them", ErrEncoding, len(stages))
	}
	return stages, nil
}

// bodySource is a Body that runs.
type bodySource struct {
	r    *http.Request
	rc   *http.ResponseController
	o    BodyOptions
	body *requestBody
	got  atomic.Int64 // bytes that were read
	ctx  context.Context

	broken chan error // from Read to Watch: the body has broken off
}

func (b *bodySource) open(ctx context.Context) (weir.Reader[byte], error) {
	b.ctx = ctx
	b.body = &requestBody{body: b.r.Body, rc: b.rc, stall: b.o.Stall, length: b.r.ContentLength, limit: b.o.MaxSize}
	if b.o.Stall > 0 { // or else the guard looks after the whole connection
		b.body.conn = connOf(b.r)
	}
	if b.o.MaxSize > 0 && b.body.length > b.o.MaxSize {
		return nil, &http.MaxBytesError{Limit: b.o.MaxSize}
	}
	return b, nil
}

func (b *bodySource) Read(p []byte) (int, error) {
	if b.o.Stall != 0 {
		if err := b.body.extend(); err != nil {
			return 0, err
		}
	}
	if b.ctx.Err() != nil { // the deadline that interrupts may have come before ours
		return 0, context.Cause(b.ctx)
	}
	n, err := b.body.Read(p)
	b.got.Add(int64(n))
	var tooLarge *http.MaxBytesError
	if err != nil && err != io.EOF && !errors.As(err, &tooLarge) {
		// A body that broke off is of no use. An error of Read would arrive
		// behind what came before; one of Watch ends the flow at once.
		select {
		case b.broken <- err:
			<-b.ctx.Done()
		case <-b.ctx.Done():
		}
	}
	return n, err
}

// SetReadDeadline interrupts a Read when the flow ends.
func (b *bodySource) SetReadDeadline(t time.Time) error {
	if err := b.rc.SetReadDeadline(t); err != nil {
		return b.r.Body.Close()
	}
	return nil
}

// Close leaves a deadline in the future behind, unless all has come: net/http reads
// a part of what is missing before it sends an answer, so that the client can read
// it.
func (b *bodySource) Close() error {
	if b.body.ended {
		return nil
	}
	return b.body.SetReadDeadline(time.Now().Add(deny.HearIdle))
}
