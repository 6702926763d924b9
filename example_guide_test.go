package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/weir-go/weir"
)

func Example_hardLimit() {
	// region limit
	r, w := weir.NewPipe[byte](weir.Bytes(10))
	refused := 0
	for range 1000 {
		if errors.Is(w.TryWrite([]byte("0123456789")), weir.ErrFull) {
			refused++
		}
	}
	fmt.Println(refused, "refused,", r.Stats().Bytes, "bytes held")
	// endregion
	// Output: 999 refused, 10 bytes held
}

func Example_ceilingOfStages() {
	same := weir.Do("same", func(_ context.Context, in []byte, emit func([]byte) error) error { return emit(in) }, nil)
	// region ceiling
	for _, n := range []int{1, 4, 16} {
		s := weir.File("huge-file.mp4")
		for range n {
			s = s.Through(same)
		}
		flow := s.To(weir.Create("copy.mp4"))
		flow.Limit = weir.Bytes(64 << 10)
		ceiling, err := flow.Ceiling() // nothing is opened
		fmt.Println(n, "stages:", ceiling, err)
	}
	// endregion
	// Output:
	// 1 stages: 160 KiB <nil>
	// 4 stages: 160 KiB <nil>
	// 16 stages: 160 KiB <nil>
}

// hugeFile is a reader without an end.
type hugeFile struct{}

func (hugeFile) Read(p []byte) (int, error) { return len(p), nil }

// stalled is a client that takes nothing before it leaves.
type stalled struct{ left <-chan struct{} }

func (s stalled) Write([]byte) (int, error) {
	<-s.left
	return 0, io.ErrClosedPipe
}

func ExampleBudget() {
	ctx := context.Background()
	leave := make(chan struct{})

	// region budget
	budget := weir.NewBudget(64 << 20)
	var clients sync.WaitGroup
	for range 1000 {
		flow := weir.FromReader(hugeFile{}).To(weir.ToWriter(stalled{leave}))
		flow.Limit, flow.Budget = weir.Bytes(48<<10), budget // a ceiling of 64 KiB each
		clients.Go(func() { flow.Run(ctx) })
	}
	// endregion
	close(leave)
	clients.Wait()
	fmt.Println(budget.Peak() <= budget.Total(), budget.Used())
	// Output: true 0
}
