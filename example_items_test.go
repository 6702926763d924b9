package weir_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// A service that is busy now and then is asked again.
func ExampleRetryItems() {
	asked := map[string]int{}
	lookUp := func(city string) (string, error) {
		if asked[city]++; city == "Oslo" && asked[city] < 3 {
			return "", errors.New("busy")
		}
		return city + " is sunny", nil
	}
	patient := weir.RetryItems(5, func(int) time.Duration { return 0 })
	weather := weir.Map(weir.Values("Rome", "Oslo", "Bern"), lookUp, patient)
	fmt.Println(weir.Collect(context.Background(), weather, 10))
	fmt.Println(asked["Oslo"], "questions for Oslo")
	// Output:
	// [Rome is sunny Oslo is sunny Bern is sunny] <nil>
	// 3 questions for Oslo
}

// Values that fail are reported and left out; the others pass.
func ExampleSkipItems() {
	report := weir.SkipItems(func(e *weir.ItemError) { fmt.Printf("value %d: %v\n", e.Index, e.Err) })
	numbers := weir.Map(weir.Values("1", "two", "3"), strconv.Atoi, report)
	fmt.Println(weir.Collect(context.Background(), numbers, 10))
	// Output:
	// value 1: strconv.Atoi: parsing "two": invalid syntax
	// [1 3] <nil>
}

var errBusy = errors.New("busy")

func TestRetryItems_WaitsBetweenAttemptsAndGivesUpAfterTheLast(t *testing.T) {
	for name, workers := range map[string][]weir.MapOption{"alone": nil, "with workers": {weir.Workers(3)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				retry := weir.RetryItems(4, func(attempt int) time.Duration { return time.Duration(attempt) * time.Minute })
				s := weir.Map(weir.Values(0, 1), func(v int) (int, error) {
					if v == 1 {
						calls.Add(1)
						return 0, errBusy
					}
					return v, nil
				}, append(workers, retry)...)
				begin := time.Now()
				_, err := weir.Collect(t.Context(), s, 10)
				var item *weir.ItemError
				if !errors.As(err, &item) || item.Index != 1 || item.Attempts != 4 || !errors.Is(err, errBusy) {
					t.Errorf("%v", err)
				}
				if took := time.Since(begin); calls.Load() != 4 || took != (1+2+3)*time.Minute {
					t.Errorf("%d attempts in %v", calls.Load(), took)
				}
			})
		})
	}
}

func TestRetryItems_DoublesItsWaitsByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := weir.Map(weir.Values(1), func(int) (int, error) { return 0, errBusy }, weir.RetryItems(9, nil))
		if _, err := weir.Collect(t.Context(), s, 10); !errors.Is(err, errBusy) {
			t.Error(err)
		}
		// 100 ms, 200 ms … 6.4 s, and then 10 s at most.
		if took, want := time.Since(begin), 12_700*time.Millisecond+10*time.Second; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

func TestSkipItems_CountsWhatItLeavesOut(t *testing.T) {
	var told atomic.Int64
	for name, opts := range map[string][]weir.MapOption{
		"told":         {weir.SkipItems(func(*weir.ItemError) { told.Add(1) })},
		"nobody told":  {weir.SkipItems(nil)},
		"with workers": {weir.Workers(4), weir.SkipItems(nil)},
	} {
		got := 0
		flow := weir.Map(each(make([]int, 1000)), func(int) (int, error) {
			return 0, errBusy
		}, opts...).To(weir.Each(func(context.Context, int) error { got++; return nil }))
		if err := flow.Run(t.Context()); err != nil || got != 0 {
			t.Errorf("%s: %d values, %v", name, got, err)
		}
		dropped := int64(0)
		for _, s := range flow.Report().Stages {
			dropped += s.Dropped
		}
		if dropped != 1000 {
			t.Errorf("%s: %d dropped", name, dropped)
		}
	}
	if told.Load() != 1000 {
		t.Errorf("told of %d values", told.Load())
	}
}

func TestItemError_SaysWhichValueAndHowOftenItWasTried(t *testing.T) {
	once := &weir.ItemError{Index: 7, Attempts: 1, Err: errBusy}
	often := &weir.ItemError{Index: 7, Attempts: 3, Err: errBusy}
	if once.Error() != "item 7: busy" || often.Error() != "item 7, after 3 attempts: busy" || once.Unwrap() != errBusy {
		t.Errorf("%q, %q, %v", once, often, once.Unwrap())
	}
}
