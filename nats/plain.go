package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
)

// plainSource is the source of flows that do not resume.
func plainSource(u *url.URL, o endpoint.SourceOptions) (endpoint.Input, error) {
	e, err := parse(u)
	if err == nil && o.Offset > 0 {
		err = fmt.Errorf("nats: %s: this flow cannot continue at an offset; use weir pipe, or Edge.Source with package durable", e)
	}
	if err != nil {
		return nil, err
	}
	return newInput(e.with(o.HTTP)), nil
}

// plainSink is the sink of flows that do not resume.
func plainSink(u *url.URL, o endpoint.SinkOptions) (weir.Sink[byte], error) {
	e, err := parse(u)
	if err == nil && o.Offset > 0 {
		err = fmt.Errorf("nats: %s: this flow cannot continue at an offset; use weir pipe, or Edge.Sink with package durable", e)
	}
	if err != nil {
		return weir.Sink[byte]{}, err
	}
	e = e.with(o.HTTP)
	return weir.Sink[byte]{Name: e.Name, Holds: e.Sink().Holds(), Open: func(ctx context.Context) (weir.Writer[byte], error) {
		return openPlain(ctx, e)
	}}, nil
}

// input is an edge as a source that frees the bytes that it has read.
type input struct {
	edge Edge

	mu   sync.Mutex // guards info
	info endpoint.Info
}

func newInput(e Edge) *input { return &input{edge: e, info: endpoint.Info{Name: e.Name, Size: -1}} }

func (in *input) Stream() weir.Stream[byte] {
	return weir.From(weir.Source[byte]{Name: in.edge.Name, Holds: in.edge.Source().Holds(), Open: in.open})
}

func (in *input) open(ctx context.Context) (weir.Reader[byte], error) {
	src := in.edge.Source()
	version, err := src.Stat(ctx)
	if err != nil {
		return nil, err
	}
	r, err := src.Open(ctx, durable.Position{Version: version})
	if err != nil {
		return nil, err
	}
	in.mu.Lock()
	in.info.Validator = version
	in.mu.Unlock()
	return &plainReader{reader: r.(*reader), src: src, ctx: ctx}, nil
}

// Stat asks the server about the edge. It does not wait for one.
func (in *input) Stat(ctx context.Context) (endpoint.Info, error) {
	i, err := in.edge.Info(ctx)
	if err != nil {
		return in.Info(), err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.info.Validator = i.ID; i.Ended {
		in.info.Size = i.Written
	}
	return in.info, nil
}

func (in *input) Info() endpoint.Info {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.info
}

// plainReader frees the bytes that it has passed on.
type plainReader struct {
	*reader
	src  durable.Source
	ctx  context.Context
	read int64
	kept int64 // bytes that were passed on and not freed
}

func (r *plainReader) Read(p []byte) (int, error) {
	if r.kept >= freeAfter {
		if err := r.src.Done(r.ctx, r.read); err != nil {
			return 0, err
		}
		r.kept = 0
	}
	n, err := r.reader.Read(p)
	r.read += int64(n)
	r.kept += int64(n)
	if err == io.EOF {
		if derr := r.src.Done(r.ctx, r.read); derr != nil {
			err = derr
		}
	}
	return n, err
}

// plainWriter writes an edge that no later run continues.
type plainWriter struct {
	*sink
	ctx   context.Context // of the link
	untie func() bool     // the link from the context of the flow

	mu    sync.Mutex  // guards the rest, and the use of sink
	timer *time.Timer // flushes; nil: there is nothing to flush
	err   error       // of a flush
	ended bool
	busy  sync.WaitGroup // flushes
}

func openPlain(ctx context.Context, e Edge) (weir.Writer[byte], error) {
	s := e.Sink().(*sink)
	c, err := s.Open(ctx)
	if err == nil && (c.End || s.offset > 0) {
		s.Close()
		err = e.wrap("write", fmt.Errorf("%w: the edge has %s already; read it, or weir edge drop %s", errOther, weir.FormatBytes(s.offset), e))
	}
	if err != nil {
		return nil, err
	}
	w := &plainWriter{sink: s}
	// The flow interrupts a Write that waits, but not a flush of the timer or of Close.
	w.ctx, w.untie = s.link.ctx, context.AfterFunc(ctx, s.link.stop)
	return w, nil
}

var errOther = errors.New("part of another stream")

// Write appends p to the edge, and waits while it is full.
func (w *plainWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.sink.Write(w.ctx, p)
	if w.timer == nil && err == nil {
		w.busy.Add(1)
		w.timer = time.AfterFunc(saveAge, w.flush)
	}
	return n, err
}

// flush sends a frame that waits for more bytes.
func (w *plainWriter) flush() {
	defer w.busy.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = nil
	if !w.ended && w.err == nil {
		w.err = w.sink.flush(w.ctx)
	}
}

// SetWriteDeadline interrupts Write.
func (w *plainWriter) SetWriteDeadline(time.Time) error {
	w.link.stop()
	return nil
}

// Close marks the end.
func (w *plainWriter) Close() error {
	return w.end(func() error {
		if w.err != nil {
			return w.err
		}
		if err := w.sink.flush(w.ctx); err != nil {
			return err
		}
		return w.Commit(w.ctx, durable.Checkpoint{Offset: w.offset, Sum: w.sink.sum, End: true})
	})
}

// CloseWithError ends without a mark. The edge keeps the bytes that were sent.
func (w *plainWriter) CloseWithError(error) error {
	w.link.stop() // for a flush that waits
	return w.end(func() error { return nil })
}

func (w *plainWriter) end(f func() error) error {
	w.mu.Lock()
	w.ended = true
	if w.timer != nil && w.timer.Stop() {
		w.busy.Done()
	}
	err := f()
	w.untie()
	w.mu.Unlock()
	w.busy.Wait()
	return errors.Join(err, w.sink.Close())
}
