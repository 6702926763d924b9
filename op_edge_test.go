package weir_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

func TestTimeoutAndBatch_ReadARendezvous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		met := func() weir.Stream[int] { return weir.Values(1, 2, 3).Async(weir.Items(0)) }
		got, err := weir.Collect(t.Context(), weir.Timeout(met(), time.Hour), 10)
		if err != nil || len(got) != 3 {
			t.Errorf("timeout: %v, %v", got, err)
		}
		batches, err := weir.Collect(t.Context(), weir.Batch(met(), weir.BatchOptions{Items: 2, Delay: time.Hour}), 10)
		if err != nil || len(batches) != 2 {
			t.Errorf("batch: %v, %v", batches, err)
		}
	})
}

func TestBatch_IsFilledByEmptyValues(t *testing.T) {
	s := weir.Batch(weir.FromSlice(make([]string, 1000)), weir.BatchOptions{Bytes: 100})
	if got, err := weir.Collect(t.Context(), s, 1000); err != nil || len(got) != 10 {
		t.Errorf("%d batches, %v", len(got), err)
	}
}

func TestHub_ReadersMayBeCountedWhileAFlowRuns(t *testing.T) {
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

func TestRetry_CountsAnAttemptThatIsNotWorthAnother(t *testing.T) {
	absent := func(context.Context, int64) (weir.Reader[byte], error) { return nil, fs.ErrNotExist }
	_, err := weir.Collect(t.Context(), weir.Retry(absent, weir.RetryOptions{}), 1)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "after 1 attempt:") {
		t.Error(err)
	}
}
