package durable_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/crcpair"
)

// memorySource is a source in memory. It fails once at each of the offsets in
// faults.
type memorySource struct {
	version string
	data    []byte
	faults  []int64
	piece   int           // bytes in a Read; 0: any number
	wait    chan struct{} // if not nil, the end waits for it
	statErr error

	mu   sync.Mutex
	done []int64
	read int64 // bytes of all runs
}

func (s *memorySource) Name() string { return "memory" }
func (s *memorySource) Holds() int64 { return 0 }

func (s *memorySource) Stat(context.Context) (string, error) { return s.version, s.statErr }

func (s *memorySource) Open(ctx context.Context, p durable.Position) (io.ReadCloser, error) {
	if p.Version != s.version {
		return nil, endpoint.ErrChanged
	}
	return &memoryReader{s: s, ctx: ctx, at: p.Offset}, nil
}

func (s *memorySource) Done(_ context.Context, offset int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, offset)
	return nil
}

// told returns the offsets that the source was told.
func (s *memorySource) told() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.done)
}

type memoryReader struct {
	s   *memorySource
	ctx context.Context
	at  int64
}

var errFault = errors.New("the fault of the test")

func (r *memoryReader) Read(p []byte) (int, error) {
	s := r.s
	if s.piece > 0 {
		p = p[:min(len(p), s.piece)]
	}
	if len(s.faults) > 0 {
		left := s.faults[0] - r.at
		if left <= 0 {
			s.faults = s.faults[1:]
			return 0, errFault
		}
		p = p[:min(int64(len(p)), left)]
	}
	n := copy(p, s.data[min(r.at, int64(len(s.data))):])
	r.at += int64(n)
	s.mu.Lock()
	s.read += int64(n)
	s.mu.Unlock()
	if n == 0 {
		if s.wait != nil {
			select {
			case <-s.wait:
			case <-r.ctx.Done():
				return 0, context.Cause(r.ctx)
			}
		}
		return 0, io.EOF
	}
	return n, nil
}

func (r *memoryReader) Close() error { return nil }

// memorySink is a sink in memory. What was not saved is lost when it is closed.
type memorySink struct {
	mu        sync.Mutex
	data      []byte
	c         durable.Checkpoint
	saves     []time.Time
	committed bool
	open      bool
	saveErr   error
}

// saved returns when checkpoints were saved, and how many bytes there are before
// the last one.
func (s *memorySink) saved() (at []time.Time, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.saves), s.c.Offset
}

func (s *memorySink) Name() string { return "memory sink" }
func (s *memorySink) Holds() int64 { return 0 }

func (s *memorySink) Open(context.Context) (durable.Checkpoint, error) {
	if s.open {
		return durable.Checkpoint{}, durable.ErrInUse
	}
	s.open = true
	s.data = s.data[:s.c.Offset]
	return s.c, nil
}

func (s *memorySink) Write(_ context.Context, p []byte) (int, error) {
	s.data = append(s.data, p...)
	return len(p), nil
}

func (s *memorySink) Save(_ context.Context, c durable.Checkpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = append(s.saves, time.Now())
	if s.saveErr != nil {
		return s.saveErr
	}
	if c.Offset != int64(len(s.data)) || c.Sum != crcpair.Update(0, s.data) {
		return errors.New("the checkpoint does not describe what was written")
	}
	s.c = c
	return nil
}

func (s *memorySink) Commit(_ context.Context, c durable.Checkpoint) error {
	if !c.End || c.Offset != int64(len(s.data)) || s.c.Offset != c.Offset {
		return errors.New("committed at another place than the end")
	}
	s.c, s.committed = c, true
	return nil
}

func (s *memorySink) Close() error {
	if !s.open {
		return errors.New("closed twice")
	}
	s.open = false
	s.data = s.data[:s.c.Offset]
	return nil
}

// eager saves so often that every fault leaves a checkpoint behind.
type eager struct{ *memorySink }

func (eager) Pace() (int64, time.Duration, time.Duration) { return 100_000, time.Hour, time.Hour }

func gzipStage() *durable.Stage {
	return &durable.Stage{Name: "gzip", Resume: func(from func() (int64, int64, []byte), at func(int64, int64, []byte)) weir.Stage[byte, byte] {
		return compress.Gzip(compress.Level(1), compress.Resume(from, at))
	}}
}

func text(n int) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	piece := make([]byte, 64<<10)
	for i := range piece {
		piece[i] = "weir, streams with backpressure\n"[random.IntN(32)]
	}
	var p []byte
	for i := 0; len(p) < n; i++ {
		p = append(append(p, byte(i)), piece...)
	}
	return p[:n:n]
}

// output returns what an uninterrupted flow makes of data.
func output(t *testing.T, data []byte, st *durable.Stage) []byte {
	t.Helper()
	k := &memorySink{}
	if err := durable.Flow(&memorySource{version: "v", data: data}, k, durable.Options{Stage: st}).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return k.data
}

func TestFlow_ContinuesByteForByteAfterEveryFailure(t *testing.T) {
	t.Parallel()
	data := text(3<<20 + 999)
	for name, st := range map[string]*durable.Stage{"no stage": nil, "gzip": gzipStage()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := output(t, data, st)
			src := &memorySource{version: "v", data: data, faults: []int64{1, 1<<20 + 1, 2<<20 + 70_000, 3<<20 + 999}}
			k := &memorySink{}
			f := durable.Flow(src, eager{k}, durable.Options{Stage: st})
			for faults := len(src.faults); faults > 0; faults-- {
				if err := f.Run(context.Background()); !errors.Is(err, errFault) {
					t.Fatalf("error %v, want that of the fault", err)
				}
				if k.committed || !bytes.HasPrefix(want, k.data) {
					t.Fatal("a failed run committed, or saved something else")
				}
			}
			if k.c.Offset == 0 {
				t.Error("no failed run left a checkpoint")
			}
			if p := (durable.Point{}); st != nil && (k.c.Point.Stage != st.Name || k.c.Point.Out > k.c.Offset) || st == nil && !reflect.DeepEqual(k.c.Point, p) {
				t.Errorf("the point of the stage is %v", k.c.Point)
			}
			if err := f.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if !k.committed || !bytes.Equal(k.data, want) {
				t.Error("the output differs from that of an uninterrupted run")
			}
			if end := src.done[len(src.done)-1]; end != int64(len(data)) || !slices.IsSorted(src.done) {
				t.Errorf("the source was told %v, want increasing offsets up to %d", src.done, len(data))
			}
			if src.read > 4*int64(len(data)) {
				t.Errorf("%d bytes were read for %d: runs begin too early", src.read, len(data))
			}
		})
	}
}

func TestFlow_SucceedsWithoutReadingWhenTheSinkHasEverything(t *testing.T) {
	t.Parallel()
	for name, st := range map[string]*durable.Stage{"no stage": nil, "gzip": gzipStage()} {
		src, k := &memorySource{version: "v", data: text(3000)}, &memorySink{}
		var at []durable.Checkpoint
		f := durable.Flow(src, k, durable.Options{Stage: st, Opened: func(c durable.Checkpoint) { at = append(at, c) }})
		for range 2 {
			if err := f.Run(context.Background()); err != nil {
				t.Fatal(name, err)
			}
		}
		if src.read != 3000 || len(at) != 2 || at[0].End || !at[1].End {
			t.Errorf("%s: read %d bytes, began at %v", name, src.read, at)
		}
		// Its source may be gone by now.
		src.statErr = errors.New("gone")
		if err := f.Run(context.Background()); err != nil {
			t.Error(name, err)
		}
	}
}

func TestFlow_RefusesAnotherSourceAndAnotherStage(t *testing.T) {
	t.Parallel()
	src, k := &memorySource{version: "v", data: text(3000), faults: []int64{2000}}, &memorySink{}
	every := every{k}
	if err := durable.Flow(src, every, durable.Options{}).Run(context.Background()); !errors.Is(err, errFault) || k.c.Offset == 0 {
		t.Fatal(err, k.c)
	}
	other := &memorySource{version: "w", data: text(4000)}
	if err := durable.Flow(other, every, durable.Options{}).Run(context.Background()); !errors.Is(err, endpoint.ErrChanged) {
		t.Errorf("another source: %v", err)
	}
	if err := durable.Flow(src, every, durable.Options{Stage: gzipStage()}).Run(context.Background()); !errors.Is(err, durable.ErrOther) {
		t.Errorf("another stage: %v", err)
	}
	if k.open || other.read > 0 {
		t.Error("a refused run left the sink open, or read")
	}
	if err := durable.Flow(src, every, durable.Options{}).Run(context.Background()); err != nil || !bytes.Equal(k.data, src.data) {
		t.Error("the refused runs have spoiled the flow:", err)
	}
}

// every saves after each byte.
type every struct{ *memorySink }

func (every) Pace() (int64, time.Duration, time.Duration) { return 1, time.Hour, time.Hour }

func TestFlow_NoticesThatRepeatedOutputDiffers(t *testing.T) {
	t.Parallel()
	data := text(3 << 20)
	src, k := &memorySource{version: "v", data: data, faults: []int64{2<<20 + 5}}, &memorySink{}
	f := durable.Flow(src, eager{k}, durable.Options{Stage: gzipStage()})
	if err := f.Run(context.Background()); !errors.Is(err, errFault) || k.c.Point.Out >= k.c.Offset {
		t.Fatal(err, k.c)
	}
	// Another encoder would do this: the version of the source is the same.
	clear(src.data[1<<20:])
	if err := f.Run(context.Background()); err == nil || errors.Is(err, errFault) {
		t.Errorf("error %v, want one about the output", err)
	}
}

func TestFlow_SavesWhileTheSourceWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, k := &memorySource{version: "v", data: text(3000), wait: make(chan struct{})}, &memorySink{}
		ended := make(chan error)
		begin := time.Now()
		go func() { ended <- durable.Flow(src, k, durable.Options{}).Run(context.Background()) }()
		time.Sleep(249 * time.Millisecond)
		synctest.Wait()
		if saves, _ := k.saved(); len(saves) != 0 {
			t.Errorf("saved after %v", saves[0].Sub(begin))
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if saves, _ := k.saved(); len(saves) != 1 || !slices.Equal(src.told(), []int64{3000}) {
			t.Errorf("%d saves after 251 ms, the source was told %v", len(saves), src.told())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if saves, _ := k.saved(); len(saves) != 1 {
			t.Errorf("%d saves of the same bytes", len(saves))
		}
		close(src.wait)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestFlow_FailsWhenACheckpointFailsWhileTheSourceWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		src, k := &memorySource{version: "v", data: text(3000), wait: make(chan struct{})}, &memorySink{saveErr: full}
		err := durable.Flow(src, k, durable.Options{}).Run(context.Background())
		var se *weir.StageError
		if !errors.Is(err, full) || !errors.As(err, &se) || se.Stage != "memory sink" {
			t.Errorf("error %v, want that of the sink", err)
		}
		if k.open {
			t.Error("the sink is open")
		}
	})
}

// A panic of a source or a sink fails the flow, also where no lane of the flow calls it.
func TestFlow_FailsWhenItsSourceOrSinkPanics(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(waiting, ready *memorySource) (durable.Source, durable.Sink){
		"Save while the source waits": func(s, _ *memorySource) (durable.Source, durable.Sink) { return s, panicsInSave{&memorySink{}} },
		"Done while the source waits": func(s, _ *memorySource) (durable.Source, durable.Sink) { return panicsInDone{s}, &memorySink{} },
		"Save after each byte": func(_, s *memorySource) (durable.Source, durable.Sink) {
			return s, everySave{panicsInSave{&memorySink{}}}
		},
		"Watch": func(s, _ *memorySource) (durable.Source, durable.Sink) { return panicsInWatch{s}, &memorySink{} },
	} {
		synctest.Test(t, func(t *testing.T) {
			src, sink := ends(&memorySource{version: "v", data: text(3000), wait: make(chan struct{})}, &memorySource{version: "v", data: text(3000)})
			var pe *weir.PanicError
			if err := durable.Flow(src, sink, durable.Options{}).Run(context.Background()); !errors.As(err, &pe) || pe.Value != "a fault" {
				t.Errorf("%s: %v, want the panic", name, err)
			}
		})
	}
}

// So does one that ends its goroutine, as t.Fatal does.
func TestFlow_FailsWhenItsSourceOrSinkEndsTheGoroutine(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(s *memorySource) (durable.Source, durable.Sink){
		"Save":  func(s *memorySource) (durable.Source, durable.Sink) { return s, leavesInSave{&memorySink{}} },
		"Watch": func(s *memorySource) (durable.Source, durable.Sink) { return leavesInWatch{s}, &memorySink{} },
	} {
		synctest.Test(t, func(t *testing.T) {
			src, sink := ends(&memorySource{version: "v", data: text(3000), wait: make(chan struct{})})
			if err := durable.Flow(src, sink, durable.Options{}).Run(context.Background()); err == nil || !strings.Contains(err.Error(), "Goexit") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

type leavesInSave struct{ *memorySink }

func (leavesInSave) Save(context.Context, durable.Checkpoint) error { runtime.Goexit(); return nil }

type leavesInWatch struct{ *memorySource }

func (s leavesInWatch) Open(ctx context.Context, at durable.Position) (io.ReadCloser, error) {
	r, err := s.memorySource.Open(ctx, at)
	return unwatched{r}, err
}

type unwatched struct{ io.ReadCloser }

func (unwatched) Watch(context.Context) error { runtime.Goexit(); return nil }

type panicsInSave struct{ *memorySink }

func (panicsInSave) Save(context.Context, durable.Checkpoint) error { panic("a fault") }

type everySave struct{ panicsInSave }

func (everySave) Pace() (int64, time.Duration, time.Duration) { return 0, time.Hour, time.Hour }

type panicsInDone struct{ *memorySource }

func (panicsInDone) Done(context.Context, int64) error { panic("a fault") }

type panicsInWatch struct{ *memorySource }

func (s panicsInWatch) Open(ctx context.Context, at durable.Position) (io.ReadCloser, error) {
	r, err := s.memorySource.Open(ctx, at)
	return watched{r}, err
}

type watched struct{ io.ReadCloser }

func (watched) Watch(context.Context) error { panic("a fault") }

func TestFlow_StoppedBeforeTheEndKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, k := &memorySource{version: "v", data: text(3000), wait: make(chan struct{})}, &memorySink{}
		f := durable.Flow(src, k, durable.Options{})
		ended := make(chan error)
		go func() { ended <- f.Run(context.Background()) }()
		synctest.Wait()
		f.Stop()
		if err := <-ended; !errors.Is(err, durable.ErrStopped) || k.committed || k.c.Offset != 3000 {
			t.Errorf("error %v, committed %v, saved %d bytes", err, k.committed, k.c.Offset)
		}
		close(src.wait)
		if err := f.Run(context.Background()); err != nil || !k.committed || src.read != 3000 {
			t.Errorf("continued: %v, committed %v, read %d bytes", err, k.committed, src.read)
		}
	})
}

func TestFlow_CancelledKeepsWhatWasSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, k := &memorySource{version: "v", data: text(3000), wait: make(chan struct{})}, &memorySink{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := durable.Flow(src, k, durable.Options{}).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if k.open || k.committed || k.c.Offset != 3000 {
			t.Errorf("open %v, committed %v, saved %d bytes", k.open, k.committed, k.c.Offset)
		}
	})
}

func TestFlow_ClosesItsSinkWhenAnotherFlowDoesNotOpen(t *testing.T) {
	t.Parallel()
	src, k := &memorySource{version: "v", data: text(3000)}, &memorySink{}
	failing := weir.From(weir.Source[byte]{Name: "failing", Open: func(context.Context) (weir.Reader[byte], error) { return nil, errFault }}).To(weir.Discard[byte]())
	d := durable.Flow(src, k, durable.Options{})
	for _, f := range []*weir.Flow{weir.Join(d, failing), weir.Join(failing, d)} {
		if err := f.Run(context.Background()); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		if k.open || k.committed {
			t.Error("the sink is open, or has committed")
		}
	}
}

// fed is a sink that has enough, which a sink must not have.
type fed struct{ *memorySink }

func (fed) Write(context.Context, []byte) (int, error) { return 0, weir.ErrStop }

func TestFlow_FailsIfItsSinkStops(t *testing.T) {
	t.Parallel()
	src, k := &memorySource{version: "v", data: text(3000)}, &memorySink{}
	if err := durable.Flow(src, fed{k}, durable.Options{}).Run(context.Background()); err == nil || k.committed || k.open {
		t.Errorf("error %v, committed %v", err, k.committed)
	}
}

// tied is a sink that uses the context of Open until it is closed.
type tied struct {
	*memorySink
	ctx context.Context
}

func (s *tied) Open(ctx context.Context) (durable.Checkpoint, error) {
	s.ctx = ctx
	return s.memorySink.Open(ctx)
}

func (s *tied) Commit(ctx context.Context, c durable.Checkpoint) error {
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	return s.memorySink.Commit(ctx, c)
}

func TestFlow_ContextOfTheSinkOutlivesTheSource(t *testing.T) {
	t.Parallel()
	src, k := &memorySource{version: "v", data: text(3000)}, &tied{memorySink: &memorySink{}}
	if err := durable.Flow(src, k, durable.Options{Stage: gzipStage()}).Run(context.Background()); err != nil || !k.committed {
		t.Errorf("%v, committed %v", err, k.committed)
	}
	if k.ctx.Err() == nil {
		t.Error("the context has not ended with the run")
	}
}
