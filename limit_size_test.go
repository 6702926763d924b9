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

func TestBytes_HoldForValuesOfAnyType(t *testing.T) {
	text := strings.Repeat("x", 1000)
	charges(t, text, 1016)
	charges(t, make([]byte, 10, 1000), 1024)
	charges(t, []string{text, text}, 24+2*1016)
	charges(t, letter{Text: text, Tags: []string{text}}, 72+1000+1016)
	charges(t, &letter{Text: text}, 8+72+1000)
	charges(t, [2]string{text, text}, 32+2000)
	charges(t, [][]letter{{{Text: text}}}, 24+24+72+1000)
	charges(t, struct {
		Any  any
		Text string
	}{1, text}, 32+1000)
	charges(t, 1, 8)
	charges(t, time.Now(), 24)
	charges(t, map[string]int{"a": 1}, 8)
}

// Values that refer to nothing are not asked for their size, one by one: their
// pipes can be filled in place.
func TestBytes_LeaveFlatTypesOnTheFastPath(t *testing.T) {
	_, w := weir.NewPipe[time.Time](weir.Bytes(1 << 10))
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
	text := strings.Repeat("x", 928) // with the 72 bytes of a letter, 1000
	if got := batchLens(t, weir.FromSlice(make([]letter, 5)), 144); !slices.Equal(got, []int{2, 2, 1}) {
		t.Error("empty structs:", got)
	}
	letters := []letter{{Text: text}, {Text: text}, {Text: text}}
	if got := batchLens(t, weir.FromSlice(letters), 2000); !slices.Equal(got, []int{2, 1}) {
		t.Error("structs of strings:", got)
	}
	if got := batchLens(t, weir.FromSlice([]*letter{&letters[0], &letters[1], &letters[2]}), 2016); !slices.Equal(got, []int{2, 1}) {
		t.Error("pointers:", got)
	}
	if got := batchLens(t, weir.FromSlice([]string{"ab", "c", "", "de"}), 3); !slices.Equal(got, []int{2, 2}) {
		t.Error("strings:", got)
	}
	if got := batchLens(t, weir.FromSlice([][]byte{make([]byte, 1, 3), nil, nil}), 3); !slices.Equal(got, []int{1, 2}) {
		t.Error("byte slices:", got)
	}
	sized := weir.FromSlice(letters).Sized(func(l letter) int { return 1 })
	if got := batchLens(t, sized, 2); !slices.Equal(got, []int{2, 1}) {
		t.Error("a size of their own:", got)
	}
}
