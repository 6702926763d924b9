package monitor

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/browsertest"
	"github.com/weir-go/weir/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(browsertest.Suite{M: m}) }

// paced returns a flow whose sink takes each chunk of 1 KiB in write, and whose
// source makes one in read. It ends when the source has made n chunks.
func paced(name string, n int, read, write time.Duration) *weir.Flow {
	source := weir.Generate("produce", func(ctx context.Context, emit func([]byte) error) error {
		chunk := make([]byte, 1024)
		for range n {
			time.Sleep(read)
			if err := emit(chunk); err != nil {
				return err
			}
		}
		return nil
	})
	f := source.Async(weir.Bytes(8 << 10)).To(weir.EachBatch(func(context.Context, []byte) error {
		time.Sleep(write)
		return nil
	}))
	f.Name = name
	return f
}

// start runs f until the test ends or stop is called, which waits for it.
func start(t *testing.T, f *weir.Flow) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	var err error
	ended := false
	stop = func() error {
		if !ended {
			cancel()
			err, ended = <-done, true
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func only[K comparable, V any](t *testing.T, m map[K]V) V {
	t.Helper()
	if len(m) != 1 {
		t.Fatalf("%d entries, want 1: %v", len(m), m)
	}
	for _, v := range m {
		return v
	}
	panic("not reached")
}

// fakeTransfers has n transfers, of which transfer i has waited i seconds.
type fakeTransfers struct {
	n      int
	start  time.Time
	totals report.Totals
	lists  int
}

func (f *fakeTransfers) Totals() report.Totals {
	t := f.totals
	t.Active = int64(f.n)
	return t
}

func (f *fakeTransfers) Top(n int) []report.Transfer {
	f.lists++
	var list []report.Transfer
	for i := f.n; i > 0 && len(list) < n; i-- {
		list = append(list, report.Transfer{
			ID: uint64(i), Method: "GET", Name: fmt.Sprintf("films/%d.mkv", i), Client: fmt.Sprintf("198.51.100.7:%d", i),
			Start: f.start, Size: 4 << 30, Moved: int64(i) * 1000 * int64(1+time.Since(f.start)/time.Millisecond),
			Unsent: int64(i), State: "waiting for the client", Waited: time.Duration(i) * time.Second,
		})
	}
	return list
}

func (f *fakeTransfers) ReportOf(id uint64) (report.Report, bool) {
	if id == 0 || id > uint64(f.n) {
		return report.Report{}, false
	}
	wall := time.Minute + time.Since(f.start)
	from := report.StageStats{Name: "read", Kind: report.KindSource, Workers: 1, Unit: "bytes", OutUnit: "bytes", Wall: wall, Blocked: wall}
	to := report.StageStats{Name: "client", Kind: report.KindSink, Workers: 1, Unit: "bytes", OutUnit: "bytes", Wall: wall, Outside: wall}
	return report.Report{Flow: "films", Running: true, Wall: wall, Stages: []report.StageStats{from, to}, Verdict: report.Judge(wall, from, to)}, true
}

var errBroken = errors.New("broken")
