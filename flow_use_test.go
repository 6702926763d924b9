package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

func TestAll_EndsEverythingWhenItsLoopIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	stopped := false
	s := weir.FromSeq(func(yield func(int) bool) {
		defer func() { stopped = true }()
		for i := 0; yield(i); i++ {
		}
	})
	n := 0
	for v, err := range weir.Map(s, func(i int) (int, error) { return i, nil }, weir.Workers(3)).All(context.Background()) {
		if err != nil || v != n {
			t.Fatal(v, err)
		}
		if n++; n == 1000 {
			break
		}
	}
	if !stopped {
		t.Error("the source still runs")
	}
	for begin := time.Now(); runtime.NumGoroutine() > before && time.Since(begin) < 5*time.Second; {
		runtime.Gosched() // the last goroutine may be on its way out
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines are left", n-before)
	}
}

func TestOpen_ReadsAndReportsTheFlowsError(t *testing.T) {
	r := weir.Open(context.Background(), weir.File(filepath.Join(t.TempDir(), "none")))
	if _, err := io.ReadAll(r); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	r.Close()
	r = weir.Open(context.Background(), weir.FromReader(zeros{}))
	if n, err := io.ReadFull(r, make([]byte, 1<<20)); n != 1<<20 || err != nil {
		t.Error(n, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("read after close")
	}
}

func TestFlow_RunsAgainButNotTwiceAtOnce(t *testing.T) {
	hold := make(chan struct{})
	entered := make(chan struct{}, 1)
	f := weir.Values(1).To(weir.Each(func(context.Context, int) error {
		entered <- struct{}{}
		<-hold
		return nil
	}))
	done := make(chan error)
	go func() { done <- f.Run(context.Background()) }()
	<-entered
	if err := f.Run(context.Background()); !errors.Is(err, weir.ErrRunning) {
		t.Error(err)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := f.Run(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestKeepOpen_LeavesItsEndUsableAfterACancel(t *testing.T) {
	ours, peer := net.Pipe()
	defer ours.Close()
	defer peer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	flow := weir.FromReader(weir.KeepOpen(ours)).To(weir.EachBatch(func(context.Context, []byte) error {
		cancel() // the source waits for more by now, or will
		return nil
	}))
	done := make(chan error, 1)
	go func() { done <- flow.Run(ctx) }()
	if _, err := peer.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	go peer.Write([]byte("b"))
	b := make([]byte, 1)
	if n, err := ours.Read(b); n != 1 || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
}

func TestConcat_NamesTheStuckStagesOfItsParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := weir.Map(weir.Values(1, 2), func(v int) (int, error) {
			time.Sleep(20 * time.Second)
			return v, nil
		}).Named("deaf")
		f := weir.Concat(weir.Concat(deaf)).To(weir.Discard[int]())
		f.Grace = time.Second
		begin := time.Now()
		var stuck []string
		f.OnStuck = func(names []string) {
			stuck = append(stuck, names...)
			if d := time.Since(begin); d != 2*time.Second {
				t.Errorf("named %v after %v, want 2s", names, d)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := f.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if want := []string{"deaf"}; !slices.Equal(stuck, want) || !slices.Equal(f.Report().Stuck, want) {
			t.Errorf("named %v, the report %v, want %v", stuck, f.Report().Stuck, want)
		}
	})
}

// Parts of several Concats can be stuck at the same time: OnStuck has one caller.
func TestConcat_SeveralThatAreStuckCallOnStuckOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaf []weir.Stream[int]
		for i := range 4 {
			deaf = append(deaf, weir.Concat(weir.Map(weir.Values(1), func(v int) (int, error) {
				time.Sleep(20 * time.Second)
				return v, nil
			}).Named(fmt.Sprint("deaf ", i))))
		}
		f := weir.Merge(deaf...).To(weir.Discard[int]())
		f.Grace = time.Second
		var stuck []string
		var inside int
		f.OnStuck = func(names []string) {
			if inside++; inside > 1 {
				t.Error("OnStuck is called while it runs")
			}
			stuck = append(stuck, names...)
			time.Sleep(time.Second)
			inside--
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := f.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for i := range 4 {
			if !slices.Contains(stuck, fmt.Sprint("deaf ", i)) {
				t.Errorf("%v lacks number %d", stuck, i)
			}
		}
	})
}
