package weir_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

func TestStagesWithATimerReadARendezvous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		met := func() weir.Stream[int] { return weir.Values(1, 2, 3).Async(weir.Items(0)) }
		got, err := weir.Collect(t.Context(), weir.Timeout(met(), time.Hour), 10)
		if err != nil || len(got) != 3 {
			t.Errorf("timeout: %v, %v", got, err)
		}
		batches, err := weir.Collect(t.Context(), weir.Batch(met(), weir.BatchConfig{Items: 2, Delay: time.Hour}), 10)
		if err != nil || len(batches) != 2 {
			t.Errorf("batch: %v, %v", batches, err)
		}
	})
}

func TestEmptyValuesFillABatch(t *testing.T) {
	s := weir.Batch(weir.FromSlice(make([]string, 1000)), weir.BatchConfig{Bytes: 100})
	if got, err := weir.Collect(t.Context(), s, 1000); err != nil || len(got) != 10 {
		t.Errorf("%d batches, %v", len(got), err)
	}
}

func TestHubReadersMayBeCountedWhileAFlowRuns(t *testing.T) {
	var hub weir.Hub[int]
	stay, err := hub.Attach(weir.Branch{Policy: weir.DropOldest})
	if err != nil {
		t.Fatal(err)
	}
	defer stay.Close()
	done := make(chan error, 1)
	go func() { done <- weir.FromSlice(make([]int, 1_000_000)).To(hub.Sink()).Run(t.Context()) }()
	for range 1000 {
		leave, err := hub.Attach(weir.Branch{Policy: weir.DropNewest})
		if err != nil {
			break // the flow has ended
		}
		leave.Close()
		if n := hub.Readers(); n > 1 {
			t.Errorf("%d readers", n)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRetryCountsAnAttemptThatIsNotWorthAnother(t *testing.T) {
	absent := func(context.Context, int64) (weir.Reader[byte], error) { return nil, fs.ErrNotExist }
	_, err := weir.Collect(t.Context(), weir.Retry(absent, weir.RetryConfig{}), 1)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "after 1 attempt:") {
		t.Error(err)
	}
}

func TestGrepRefusesALongLineHoweverItComes(t *testing.T) {
	line := append(bytes.Repeat([]byte("a"), 1<<20+1), '\n')
	whole := weir.Do("whole", func(_ context.Context, _ []byte, emit func([]byte) error) error {
		return errors.Join(emit(append([]byte("b\n"), line...)), weir.ErrStop)
	}, nil)
	grep := weir.Grep(regexp.MustCompile("."))
	for name, s := range map[string]weir.Stream[byte]{
		"in chunks": weir.FromSlice(line).Through(grep),
		"as one":    weir.Values[byte]('x').Through(whole, grep),
	} {
		_, err := weir.Collect(t.Context(), s, 4<<20)
		if !errors.Is(err, weir.ErrLineTooLong) || strings.Count(err.Error(), "too long") != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeadOfNoLinesReadsNothing(t *testing.T) {
	r, w := weir.NewPipe[byte](weir.Items(1))
	if got, err := weir.Collect(t.Context(), weir.FromPipe(r).Through(weir.HeadLines(0)), 10); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if err := w.TrySend(1); !errors.Is(err, weir.ErrClosed) {
		t.Errorf("TrySend = %v after the flow", err)
	}
}

func TestWhatWasEncodedBeforeAFailureIsHandedOn(t *testing.T) {
	var out bytes.Buffer
	flow := weir.EncodeJSON(weir.Values[any](1, 2, func() {})).To(weir.EachBatch(func(_ context.Context, text []byte) error {
		out.Write(text)
		return nil
	}))
	if err := flow.Run(t.Context()); err == nil || out.String() != "1\n2\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
