package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	var got []int
	f := Filter(Map(Values(1, 2, 3, 4, 5), func(i int) (int, error) { return i * 10, nil }), func(i int) bool { return i != 30 }).To(Each(func(_ context.Context, i int) error { got = append(got, i); return nil }))
	if err := f.Run(ctx); err != nil {
		t.Fatal(err)
	}
	fmt.Println(got, f.Report())
	got = nil
	f = Map(FromSeq(slices.Values([]int{1, 2, 3})), func(i int) (int, error) {
		if i == 2 {
			return 0, errors.New("two")
		}
		return i, nil
	}).To(Each(func(_ context.Context, i int) error { got = append(got, i); return nil }))
	err := f.Run(ctx)
	fmt.Println(got, err, f.Report())
	var buf bytes.Buffer
	f = FromReader(KeepOpen(strings.NewReader(strings.Repeat("hello", 100000)))).To(ToWriter(&buf))
	err = f.Run(ctx)
	fmt.Println(buf.Len(), err, f.Report())
	f = Map(FromSeq(slices.Values([]int{1, 2, 3})), func(i int) (int, error) {
		if i == 2 {
			panic("two")
		}
		return i, nil
	}).To(Each(func(_ context.Context, i int) error { return ErrStop }))
	err = f.Run(ctx)
	fmt.Println(err)
	f = Map(FromSeq(slices.Values([]int{1, 2, 3})), func(i int) (int, error) {
		if i == 2 {
			panic("two")
		}
		return i, nil
	}).To(Each(func(_ context.Context, i int) error { return nil }))
	err = f.Run(ctx)
	fmt.Println(err)
	ctx2, c := context.WithTimeout(ctx, 10*time.Millisecond)
	defer c()
	f = FromChan(make(chan int)).To(Discard[int]())
	err = f.Run(ctx2)
	fmt.Println(err, errors.Is(err, context.DeadlineExceeded))
	err = Stream[int]{}.To(Discard[int]()).Run(ctx)
	fmt.Println(err)
	s := Values(1)
	fmt.Println(Join(s.To(Discard[int]()), s.To(Discard[int]())).Run(ctx))
}
func BenchmarkFused(b *testing.B) {
	xs := make([]int, b.N)
	for i := range xs {
		xs[i] = i
	}
	sum := 0
	f := Filter(Map(FromSlice(xs), func(i int) (int, error) { return i + 1, nil }), func(i int) bool { return i&1 == 0 }).To(EachBatch(func(_ context.Context, v []int) error {
		for _, x := range v {
			sum += x
		}
		return nil
	}))
	b.ResetTimer()
	b.ReportAllocs()
	if err := f.Run(context.Background()); err != nil {
		b.Fatal(err)
	}
}
func BenchmarkAsync(b *testing.B) {
	xs := make([]int, b.N)
	for i := range xs {
		xs[i] = i
	}
	sum := 0
	f := Filter(Map(FromSlice(xs), func(i int) (int, error) { return i + 1, nil }).Async(Limit{}), func(i int) bool { return i&1 == 0 }).To(EachBatch(func(_ context.Context, v []int) error {
		for _, x := range v {
			sum += x
		}
		return nil
	}))
	b.ResetTimer()
	b.ReportAllocs()
	if err := f.Run(context.Background()); err != nil {
		b.Fatal(err)
	}
}
func BenchmarkFuncLoop(b *testing.B) {
	xs := make([]int, b.N)
	for i := range xs {
		xs[i] = i
	}
	sum := 0
	src := func(yield func(int)) {
		for _, x := range xs {
			yield(x)
		}
	}
	f := func(i int) (int, error) { return i + 1, nil }
	g := func(i int) bool { return i&1 == 0 }
	b.ResetTimer()
	b.ReportAllocs()
	src(func(x int) {
		y, _ := f(x)
		if g(y) {
			sum += y
		}
	})
}
