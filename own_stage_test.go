package weir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// fields is a stage that a program outside of weir could have: it cuts its input
// behind each semicolon, leaves out empty fields and counts them, holds at most
// one field of most bytes, and lets one field pass in each interval.
func fields(most int, every time.Duration) weir.Stage[byte, string] {
	return weir.Stage[byte, string]{
		Name:    "fields",
		Holds:   2 * int64(most), // the buffer, and the field made of it
		Holders: -1,              // which is not held apart from that
		Limits:  every > 0,
		Open: func(context.Context) (weir.Transform[byte, string], error) {
			return &splitter{most: most, every: every}, nil // a new one for each run
		},
	}
}

type splitter struct {
	most  int
	every time.Duration
	field []byte
	begin int64 // offset of the field
	at    int64 // offset of the next byte
}

func (s *splitter) Do(ctx context.Context, in []byte, emit func([]string) error) error {
	for _, b := range in {
		s.at++
		if b == ';' {
			if err := s.end(ctx, emit); err != nil {
				return err
			}
			continue
		}
		if len(s.field) == s.most {
			return &weir.LimitError{
				Err: weir.ErrLimit, Option: "most", Max: int64(s.most),
				Detail: fmt.Sprintf("field at byte %d is larger than %d bytes", s.begin, s.most),
			}
		}
		s.field = append(s.field, b)
	}
	return nil
}

func (s *splitter) Flush(ctx context.Context, emit func([]string) error) error {
	return s.end(ctx, emit)
}

func (s *splitter) end(ctx context.Context, emit func([]string) error) error {
	field := string(s.field)
	s.field, s.begin = s.field[:0], s.at
	if field == "" {
		weir.CountDropped(ctx, 1)
		return nil
	}
	if s.every > 0 {
		select {
		case <-time.After(s.every):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return emit([]string{field})
}

// A stage of your own can do what the stages of weir do: keep state for each run,
// declare what it holds, refuse a record that is too large, and count what it
// leaves out.
func ExampleStage() {
	ctx := context.Background()
	s := weir.Via(weir.FromSlice([]byte("one;;two;three;")), fields(5, 0))
	flow := s.To(weir.Each(func(_ context.Context, field string) error {
		fmt.Println(field)
		return nil
	}))
	fmt.Println(flow.Run(ctx), flow.Report().Stages[1].Dropped, "left out")

	_, err := weir.Collect(ctx, weir.Via(weir.FromSlice([]byte("one;twenty")), fields(5, 0)), 10)
	fmt.Println(err)
	// Output:
	// one
	// two
	// three
	// <nil> 2 left out
	// weir: stage fields: maximum exceeded: field at byte 4 is larger than 5 bytes; raise most
}

func TestStage_OfAUserIsReportedLikeABuiltInOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := strings.Repeat("a;;", 100)
		f := weir.Via(weir.FromReader(strings.NewReader(in)), fields(10, time.Second)).To(weir.Discard[string]())
		ceiling, err := f.Ceiling()
		if err != nil || len(ceiling.Uncovered) != 0 {
			t.Fatal(ceiling, err)
		}
		without, err := weir.Via(weir.FromReader(strings.NewReader(in)), fields(1010, time.Second)).To(weir.Discard[string]()).Ceiling()
		if err != nil || without.Bytes-ceiling.Bytes != 2000 || without.Holders != ceiling.Holders {
			t.Errorf("2000 bytes more are declared, and the ceilings are %v and %v (%v)", ceiling, without, err)
		}
		if err := f.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := f.Report()
		if v := r.Verdict; v.Stage != "fields" || !v.Limit || !strings.HasPrefix(v.String(), "the rate limit (fields) is the bottleneck") {
			t.Errorf("the verdict is %v", v)
		}
		if n := r.Stages[1].Dropped; n != 101 {
			t.Errorf("%d fields were left out, want 101", n)
		}
	})
}

func TestStage_OfAUserBeginsEachRunAnew(t *testing.T) {
	f := weir.Via(weir.FromSlice([]byte("a;b")), fields(10, 0))
	for range 3 {
		if got, err := weir.Collect(t.Context(), f, 10); err != nil || !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestStage_DeclaresValuesCopiesAndWhatIsNotCovered(t *testing.T) {
	pass := func(_ context.Context, in []string, emit func([]string) error) error { return emit(in) }
	ceiling := func(change func(*weir.Stage[string, string])) (int, []string) {
		st := weir.Do("pass", pass, nil)
		change(&st)
		c, err := weir.Values("a").Through(st).To(weir.Discard[string]()).Ceiling()
		if err != nil {
			t.Fatal(err)
		}
		return c.Holders, c.Uncovered
	}
	none, _ := ceiling(func(st *weir.Stage[string, string]) { st.Holders = -1 })
	for name, c := range map[string]struct {
		change func(*weir.Stage[string, string])
		more   int
	}{
		"by default, the value in its hands": {func(*weir.Stage[string, string]) {}, 1},
		"three values":                       {func(st *weir.Stage[string, string]) { st.Holders = 3 }, 3},
		"two copies and no value":            {func(st *weir.Stage[string, string]) { st.Holders, st.Copies = -1, 2 }, 2},
	} {
		if got, _ := ceiling(c.change); got != none+c.more {
			t.Errorf("%s: %d holders, want %d", name, got, none+c.more)
		}
	}
	if _, list := ceiling(func(st *weir.Stage[string, string]) { st.Uncovered = "its cache" }); !slices.Equal(list, []string{"pass (its cache)"}) {
		t.Errorf("not covered: %q", list)
	}
	for _, wrong := range []func(*weir.Stage[string, string]){
		func(st *weir.Stage[string, string]) { st.Holds = -1 },
		func(st *weir.Stage[string, string]) { st.Copies = -1 },
	} {
		st := weir.Do("pass", pass, nil)
		wrong(&st)
		if err := weir.Values("a").Through(st).To(weir.Discard[string]()).Check(); err == nil || !strings.Contains(err.Error(), "negative") {
			t.Errorf("%+v: %v", st, err)
		}
	}
}

func TestCountDropped_CountsWhereverAStageIsCalled(t *testing.T) {
	drop := func(ctx context.Context) {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		weir.CountDropped(child, 1)
	}
	open := weir.DoWith("open",
		func(ctx context.Context) (int, error) { drop(ctx); return 0, nil },
		func(ctx context.Context, _ int, in []int, emit func([]int) error) error { drop(ctx); return emit(in) },
		func(ctx context.Context, _ int, _ func([]int) error) error { drop(ctx); return nil })
	run := weir.Stage[int, int]{Name: "run", Run: func(ctx context.Context, in weir.Reader[int], out weir.Writer[int]) error {
		drop(ctx)
		for buf := make([]int, 1); ; {
			if _, err := in.Read(buf); err != nil {
				return nil // the flow knows why the input ended
			}
		}
	}}
	f := weir.Values(1).Through(open, run).To(weir.Discard[int]())
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	stages := f.Report().Stages
	if stages[1].Dropped != 3 || stages[2].Dropped != 1 || stages[0].Dropped+stages[3].Dropped != 0 {
		t.Errorf("%+v", stages)
	}
	weir.CountDropped(t.Context(), 1) // outside of a flow it does nothing
}

// wrapped is a file of a user's source.
type wrapped struct{ f *os.File }

func (w *wrapped) OSFile() *os.File               { return w.f }
func (w *wrapped) Close() error                   { return w.f.Close() }
func (w *wrapped) Read([]byte) (int, error)       { return 0, errors.New("Read was called") }
func (w *wrapped) Write(p []byte) (int, error)    { return 0, errors.New("Write was called") }
func (w *wrapped) Moved(n int64, err error) error { return err }

// A stage can hold itself back by other means than a full pipe. It is not slow then.
func TestStage_OfAUserThatWaitsForOthersIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := make(chan struct{})
		ahead := weir.Stage[int, int]{Name: "ahead", Run: func(ctx context.Context, in weir.Reader[int], out weir.Writer[int]) error {
			var v [1]int
			for {
				if n, err := in.Read(v[:]); n == 0 {
					return err
				}
				time.Sleep(time.Second) // its own work
				if _, err := out.Write(v[:]); err != nil {
					return err
				}
				out.(interface{ Blocked(wait func()) }).Blocked(func() {
					select {
					case <-used:
					case <-ctx.Done():
					}
				})
			}
		}}
		flow := weir.Via(weir.FromSlice([]int{1, 2, 3, 4}), ahead).Async(weir.Items(1)).To(weir.Each(func(context.Context, int) error {
			time.Sleep(9 * time.Second)
			used <- struct{}{}
			return nil
		}))
		if err := flow.Run(t.Context()); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		r := flow.Report()
		for _, st := range r.Stages {
			if st.Name == "ahead" && (st.Busy != 4*time.Second || st.Blocked < 36*time.Second) {
				t.Errorf("busy %v, blocked %v; want 4s and 36s", st.Busy, st.Blocked)
			}
		}
		if v := r.Verdict; v.Stage != "each" {
			t.Errorf("verdict %q; want each", v)
		}
	})
}

func TestSource_OfAUserIsCopiedByTheKernel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kernel copies between files on Linux")
	}
	dir := t.TempDir()
	data := bytes.Repeat([]byte("kernel "), 100_000)
	if err := os.WriteFile(filepath.Join(dir, "in"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	source := weir.Source[byte]{Name: "mine", Like: &wrapped{}, Open: func(context.Context) (weir.Reader[byte], error) {
		f, err := os.Open(filepath.Join(dir, "in"))
		return &wrapped{f}, err
	}}
	sink := weir.Sink[byte]{Name: "yours", Like: &wrapped{}, Open: func(context.Context) (weir.Writer[byte], error) {
		f, err := os.Create(filepath.Join(dir, "out"))
		return &wrapped{f}, err
	}}
	f := weir.From(source).To(sink)
	if plan, err := f.Explain(); err != nil || !strings.Contains(plan, "the kernel moves the bytes: ") {
		t.Errorf("%s\n%v", plan, err)
	}
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := f.Report(); r.Kernel == "" || r.Stages[0].Out != int64(len(data)) {
		t.Errorf("%d bytes, by %q", r.Stages[0].Out, r.Kernel)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
	// With a stage that sees the bytes, Read is called.
	if err := weir.From(source).Through(weir.Do("see", func(_ context.Context, in []byte, emit func([]byte) error) error { return emit(in) }, nil)).To(sink).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "Read was called") {
		t.Error(err)
	}
}

// What has no Like, or one that is no file, goes through memory.
func TestSource_OfAUserWithoutLikeIsRead(t *testing.T) {
	for _, like := range []weir.Reader[byte]{nil, strings.NewReader(""), (*net.UDPConn)(nil)} {
		source := weir.Source[byte]{Name: "mine", Like: like, Open: func(context.Context) (weir.Reader[byte], error) {
			return strings.NewReader("read"), nil
		}}
		var got bytes.Buffer
		f := weir.From(source).To(weir.ToWriter(&got))
		if err := f.Run(t.Context()); err != nil || got.String() != "read" || f.Report().Kernel != "" {
			t.Errorf("like %T: %q, %v", like, got.String(), err)
		}
	}
}
