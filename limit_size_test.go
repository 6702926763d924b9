package weir_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

type letter struct {
	ID   int
	Sent time.Time
	Text string
	Tags []string
}

// charges sends v again and again into a pipe of 64 KiB that nobody reads, and
// checks how many values it takes if each is charged cost bytes.
func charges[T any](t *testing.T, v T, cost int64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[T](weir.Bytes(64 << 10))
		go func() {
			for w.Send(t.Context(), v) == nil {
			}
		}()
		synctest.Wait()
		if s := w.Stats(); s.Items != 64<<10/cost || s.Bytes != s.Items*cost {
			t.Errorf("%T: holds %d values of %d bytes, want %d of %d bytes each", v, s.Items, s.Bytes, 64<<10/cost, cost)
		}
		r.Close()
	})
}

// The tests of package size measure values of every other type.
func TestBytes_HoldForWhatValuesReferTo(t *testing.T) {
	text := strings.Repeat("x", 1000)
	charges(t, text, 1016)
	charges(t, make([]byte, 10, 1000), 1024)
	charges(t, letter{Text: text, Tags: []string{text}}, 72+1000+1016)
	charges(t, 1, 8)
	charges(t, map[string]int{"a": 1}, 8)
}

// Values that refer to nothing are not asked for their size, one by one: their
// pipes can be filled in place.
func TestBytes_LeaveFlatTypesOnTheFastPath(t *testing.T) {
	_, w := weir.NewPipe[int](weir.Bytes(1 << 10))
	if _, err := w.Reserve(t.Context(), 1); err != nil {
		t.Error(err)
	}
	_, s := weir.NewPipe[letter](weir.Bytes(1 << 10))
	if _, err := s.Reserve(t.Context(), 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v: slots cannot be charged before they are filled", err)
	}
}

func batchLens[T any](t *testing.T, s weir.Stream[T], bytes int64) (lens []int) {
	t.Helper()
	got, err := weir.Collect(t.Context(), weir.Batch(s, weir.BatchOptions{Bytes: bytes}), 100)
	if err != nil {
		t.Error(err)
	}
	for _, b := range got {
		lens = append(lens, len(b))
	}
	return lens
}

func TestBatch_CountsWhatValuesReferTo(t *testing.T) {
	if got := batchLens(t, weir.FromSlice(make([]int, 5)), 16); !slices.Equal(got, []int{2, 2, 1}) {
		t.Error("ints:", got)
	}
	if got := batchLens(t, weir.FromSlice([]string{"ab", "c", "", "de"}), 3); !slices.Equal(got, []int{2, 2}) {
		t.Error("strings:", got)
	}
	sized := weir.Values("long text", "long text", "long text").Sized(func(string) int { return 1 })
	if got := batchLens(t, sized, 2); !slices.Equal(got, []int{2, 1}) {
		t.Error("a size of their own:", got)
	}
}
