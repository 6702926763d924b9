package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/text"
)

// Given a stage that makes 1000 values of one, and a limit of 16, then no more
// than 16 and the one in hand wait.
func TestS54_ExpansionStaysBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		s := weir.FlatMap(weir.Values(1, 2, 3), func(_ context.Context, v int, emit func(...int) error) error {
			for range 1000 {
				made.Add(1)
				if err := emit(v); err != nil {
					return err
				}
			}
			return nil
		})
		f := s.Async(weir.Items(16)).To(weir.EachBatch(func(ctx context.Context, _ []int) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		if n := made.Load(); n > 17 || f.Report().Pipes[0].Items > 16 {
			t.Errorf("%d values were made", n)
		}
		cancel()
		<-done
	})
}

// Given a stage, then Do is called for each batch, then Flush, then the end goes
// downstream; what Flush emits arrives.
func TestS56_DoThenFlushThenTheEnd(t *testing.T) {
	l := &log{}
	st := weir.Do("st", func(_ context.Context, in []int, emit func([]int) error) error {
		l.add(fmt.Sprint("do ", in))
		return emit(in)
	}, func(_ context.Context, emit func([]int) error) error {
		l.add("flush")
		return emit([]int{9})
	})
	end := weir.Do("end", func(_ context.Context, in []int, emit func([]int) error) error { return emit(in) },
		func(context.Context, func([]int) error) error {
			l.add("end")
			return nil
		})
	got, err := weir.Collect(t.Context(), weir.Values(1, 2).Through(st, end), 9)
	if err != nil {
		t.Error(err)
	}
	equal(t, "values", got, 1, 2, 9)
	equal(t, "order", l.lines, "do [1 2]", "flush", "end")
}

// Given 6 workers that end in any order, then the order of the results is that
// of the values, and never more than 6 run.
func TestS57_WorkersKeepTheOrder(t *testing.T) {
	noLeaks(t)
	var running, most atomic.Int32
	s := weir.MapContext(weir.FromSlice(ints(500)), func(_ context.Context, v int) (int, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
		return v, nil
	}, weir.Workers(6))
	got, err := weir.Collect(t.Context(), s, 500)
	if err != nil || most.Load() > 6 {
		t.Error(err, most.Load())
	}
	equal(t, "values", got, ints(500)...)
}

// Given a second value that takes long, then the first is delivered before it is
// done.
func TestS59_TheFirstResultDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, workers := range []int{1, 2} {
			begin := time.Now()
			var at []time.Duration
			s := weir.MapContext(weir.FromSlice(ints(2)), func(_ context.Context, v int) (int, error) {
				time.Sleep(time.Duration(v) * time.Hour)
				return v, nil
			}, weir.Workers(workers))
			err := s.To(weir.Each(func(context.Context, int) error {
				at = append(at, time.Since(begin))
				return nil
			})).Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			equal(t, fmt.Sprint(workers, " workers"), at, 0, time.Hour)
		}
	})
}

// Given 4 values, 2 workers and a failure with the second value, then at most 3
// calls are made, the context of a later value ends, and the error comes back
// behind the value before it.
func TestS60_AFailureEndsTheSiblings(t *testing.T) {
	noLeaks(t)
	var calls, told atomic.Int32
	s := weir.MapContext(weir.FromSlice(ints(4)), func(ctx context.Context, v int) (int, error) {
		calls.Add(1)
		switch v {
		case 0:
			return v, nil
		case 1:
			return 0, errBoom
		}
		<-ctx.Done()
		told.Add(1)
		return 0, ctx.Err()
	}, weir.Workers(2))
	got, err := weir.Collect(t.Context(), s, 4)
	if !errors.Is(err, errBoom) || calls.Load() > 3 || told.Load() != calls.Load()-2 {
		t.Error(err, calls.Load(), told.Load())
	}
	equal(t, "values", got, 0)
}

// Given line ends that are split between chunks, a last line without an end,
// bursts of 2,051 lines and a slow consumer, then no line is lost or added; a
// character that is split stays whole.
func TestS62_LinesAndCharactersSurviveTheirChunks(t *testing.T) {
	noLeaks(t)
	var content strings.Builder
	for i := range 2051 {
		fmt.Fprintf(&content, "línea %d ñandú\r\n", i)
	}
	content.WriteString("\nlast, without an end")
	data := []byte(content.String())
	for _, size := range []int{1, 2, 3, 7, 64, 1000} {
		chunks := weir.Generate("chunks", func(_ context.Context, emit func([]byte) error) error {
			for rest := data; len(rest) > 0; {
				n := min(size, len(rest))
				if err := emit(rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
		n := 0
		err := text.Lines(chunks.Through(text.Valid(), text.Upper())).Async(weir.Items(3)).To(weir.Each(func(_ context.Context, line string) error {
			want := fmt.Sprintf("LÍNEA %d ÑANDÚ", n)
			switch n {
			case 2051:
				want = ""
			case 2052:
				want = "LAST, WITHOUT AN END"
			}
			if line != want {
				return fmt.Errorf("line %d is %q, want %q", n, line, want)
			}
			n++
			return nil
		})).Run(t.Context())
		if err != nil || n != 2053 {
			t.Errorf("chunks of %d: %d lines, %v", size, n, err)
		}
	}
}

// Given gzip that is cut off, of two members, followed by zeros or by other data,
// or a bomb, then it is an error, both are read, zeros are ignored and other data
// is an error behind all that was decompressed, and the bomb is stopped.
func TestS63_Gzip(t *testing.T) {
	noLeaks(t)
	through := func(in []byte, st weir.Stage[byte, byte]) ([]byte, error) {
		return weir.Collect(t.Context(), weir.FromReader(bytes.NewReader(in)).Through(st), 1<<30)
	}
	packed, err := through([]byte("hello "), compress.Gzip())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := through(packed[:len(packed)-3], compress.Gunzip()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("cut off:", err)
	}
	two := append(append(bytes.Clone(packed), packed...), make([]byte, 512)...)
	if got, err := through(two, compress.Gunzip()); err != nil || string(got) != "hello hello " {
		t.Errorf("two members and zeros: %q, %v", got, err)
	}
	var got []byte
	err = weir.FromReader(bytes.NewReader(append(bytes.Clone(packed), "other data"...))).Through(compress.Gunzip()).To(weir.EachBatch(func(_ context.Context, b []byte) error {
		got = append(got, b...)
		return nil
	})).Run(t.Context())
	if !errors.Is(err, compress.ErrTrailing) || string(got) != "hello " {
		t.Errorf("other data behind: %q, %v", got, err)
	}
	bomb, err := through(make([]byte, 10<<20), compress.Gzip())
	if err != nil {
		t.Fatal(err)
	}
	var n int
	err = weir.FromReader(bytes.NewReader(bomb)).Through(compress.Gunzip(compress.MaxOutput(1 << 20))).To(weir.EachBatch(func(_ context.Context, b []byte) error {
		n += len(b)
		return nil
	})).Run(t.Context())
	if !errors.Is(err, compress.ErrTooLarge) || n > 1<<20 {
		t.Error("bomb:", n, err)
	}
}
