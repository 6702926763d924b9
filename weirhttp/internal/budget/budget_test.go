package budget

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

func TestAcquire_WaitsAsLongAsQueueSays(t *testing.T) {
	for queue, want := range map[time.Duration]time.Duration{0: 5 * time.Second, time.Second: time.Second, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			b := weir.NewBudget(1 << 20)
			if !TryAcquire(b, b.Total()) || TryAcquire(b, 1) {
				t.Fatal("TryAcquire is wrong about what is free")
			}
			begun := time.Now()
			if err := Acquire(t.Context(), b, queue, 1); !errors.Is(err, ErrBusy) || time.Since(begun) != want {
				t.Errorf("queue %v: %v after %v", queue, err, time.Since(begun))
			}
			Release(b, b.Total())
			if err := Acquire(t.Context(), b, queue, 1); err != nil || b.Used() != 1 {
				t.Errorf("queue %v: %v, used %d", queue, err, b.Used())
			}
		})
	}
}

func TestAcquire_NilBudgetHasAnyAmount(t *testing.T) {
	if !TryAcquire(nil, 1<<60) || Acquire(context.Background(), nil, -1, 1<<60) != nil {
		t.Error("it is limited")
	}
	Release(nil, 1<<60)
}

func TestRetryAfter_IsWholeSeconds(t *testing.T) {
	for queue, want := range map[time.Duration]time.Duration{0: 5 * time.Second, -1: time.Second, 2500 * time.Millisecond: 2 * time.Second} {
		if got := RetryAfter(queue); got != want {
			t.Errorf("RetryAfter(%v) = %v", queue, got)
		}
	}
}
