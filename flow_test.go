package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// journal notes what is opened and closed, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

type part struct {
	j    *journal
	name string
	fail string // the method that fails
	data int    // reads left
}

var errPart = errors.New("part failed")

func (p *part) err(method string) error {
	if p.fail == method {
		return fmt.Errorf("%s %s: %w", p.name, method, errPart)
	}
	return nil
}

// A part that has deadlines is not closed early to unblock it.
func (p *part) SetReadDeadline(time.Time) error  { return nil }
func (p *part) SetWriteDeadline(time.Time) error { return nil }

func (p *part) Close() error {
	p.j.add("close %s", p.name)
	return p.err("close")
}

func (p *part) Commit() error {
	p.j.add("commit %s", p.name)
	return p.err("commit")
}

func (p *part) Read(b []byte) (int, error) {
	if err := p.err("read"); err != nil {
		return 0, err
	}
	if p.data == 0 {
		return 0, io.EOF
	}
	p.data--
	return copy(b, "data"), nil
}

func (p *part) Write(b []byte) (int, error) { return len(b), p.err("write") }

func (p *part) Do(_ context.Context, in []byte, emit func([]byte) error) error {
	if p.fail == "panic" {
		panic(errPart)
	}
	if err := p.err("do"); err != nil {
		return err
	}
	return emit(in)
}

func (p *part) Flush(context.Context, func([]byte) error) error { return p.err("flush") }

// threePartFlow is source → a → b → sink; fail says which method of which part
// fails, as "a.open".
func threePartFlow(j *journal, fail string) *weir.Flow {
	opened := func(name string) (*part, error) {
		who, method, _ := strings.Cut(fail, ".")
		p := &part{j: j, name: name, data: 3}
		if who == name {
			p.fail = method
		}
		if err := p.err("open"); err != nil {
			return nil, err
		}
		j.add("open %s", name)
		return p, nil
	}
	stage := func(name string) weir.Stage[byte, byte] {
		return weir.Stage[byte, byte]{Name: name, Open: func(context.Context) (weir.Transform[byte, byte], error) { return opened(name) }}
	}
	return weir.From(weir.Source[byte]{Name: "source", Open: func(context.Context) (weir.Reader[byte], error) { return opened("source") }}).
		Through(stage("a"), stage("b")).
		To(weir.Sink[byte]{Name: "sink", Open: func(context.Context) (weir.Writer[byte], error) { return opened("sink") }})
}

func TestFlow_OpensAndClosesEveryPartOnceInOrder(t *testing.T) {
	all := []string{"open source", "open a", "open b", "open sink"}
	upstream := []string{"close source", "close a", "close b"}
	closed := []string{"close source", "close a", "close b", "close sink"}
	committed := slices.Concat(all, upstream, []string{"commit sink", "close sink"})
	for _, c := range []struct {
		fail  string
		stage string
		want  []string
	}{
		{"", "", committed},
		{"source.open", "source", nil},
		{"b.open", "b", []string{"open source", "open a", "close source", "close a"}},
		{"sink.open", "sink", []string{"open source", "open a", "open b", "close source", "close a", "close b"}},
		{"source.read", "source", slices.Concat(all, closed)},
		{"a.do", "a", slices.Concat(all, closed)},
		{"b.flush", "b", slices.Concat(all, closed)},
		{"b.panic", "b", slices.Concat(all, closed)},
		{"sink.write", "sink", slices.Concat(all, closed)},
		{"sink.commit", "sink", committed},
		{"sink.close", "sink", committed},
		{"a.close", "a", slices.Concat(all, closed)}, // and nothing is committed
	} {
		t.Run(c.fail, func(t *testing.T) {
			j := &journal{}
			err := threePartFlow(j, c.fail).Run(context.Background())
			if c.fail != "" && !strings.HasPrefix(c.fail, "sink.c") {
				// After a failure lanes end on their own, whichever is first.
				slices.Sort(j.lines)
				c.want = slices.Sorted(slices.Values(c.want))
			}
			if !slices.Equal(j.lines, c.want) {
				t.Errorf("got  %q\nwant %q", j.lines, c.want)
			}
			if c.fail == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var se *weir.StageError
			if !errors.Is(err, errPart) || !errors.As(err, &se) || se.Stage != c.stage {
				t.Errorf("got %v, want %v in stage %s", err, errPart, c.stage)
			}
			var pe *weir.PanicError
			if strings.HasSuffix(c.fail, "panic") != errors.As(err, &pe) {
				t.Errorf("panic error: %v", err)
			}
		})
	}
}

func TestFlow_IsCheckedBeforeAnythingOpens(t *testing.T) {
	j := &journal{}
	src := weir.From(weir.Source[byte]{Name: "source", Open: func(context.Context) (weir.Reader[byte], error) {
		j.add("open")
		return strings.NewReader(""), nil
	}})
	for name, c := range map[string]struct {
		flow *weir.Flow
		say  string
	}{
		"no source":      {weir.Stream[byte]{}.To(weir.Discard[byte]()), "zero Stream"},
		"no sink":        {&weir.Flow{}, "no sink"},
		"nil function":   {weir.Filter(src, nil).To(weir.Discard[byte]()), "nil"},
		"negative limit": {src.Async(weir.Bytes(-1)).To(weir.Discard[byte]()), "negative"},
		"empty stage":    {src.Through(weir.Stage[byte, byte]{Name: "x"}).To(weir.Discard[byte]()), "neither Open nor Run"},
		"used twice":     {weir.Join(src.To(weir.Discard[byte]()), src.To(weir.Discard[byte]())), "used twice"},
		"bad workers":    {weir.Map(weir.Values(1), func(int) (int, error) { return 0, nil }, weir.Workers(-1)).To(weir.Discard[int]()), "-1 workers"},
		"nil flow":       {weir.Join(nil), "nil"},
	} {
		err := c.flow.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v, want a text with %q", name, err, c.say)
		}
	}
	if len(j.lines) > 0 {
		t.Errorf("opened %d times", len(j.lines))
	}
}

// connected returns both ends of a TCP connection, which the test closes.
func connected(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return near, far
}

func TestRun_EndsBlockedIOWhenCancelled(t *testing.T) {
	cause := errors.New("enough")
	blocked := map[string]func(c net.Conn) *weir.Flow{
		"read":                func(c net.Conn) *weir.Flow { return weir.FromReader(c).To(weir.Discard[byte]()) },
		"write":               func(c net.Conn) *weir.Flow { return weir.FromReader(zeros{}).To(weir.ToWriter(c)) },
		"read through stages": func(c net.Conn) *weir.Flow { return weir.FromReader(c).Through(passOn()).To(weir.ToWriter(io.Discard)) },
		"read, kept open":     func(c net.Conn) *weir.Flow { return weir.FromReader(weir.KeepOpen(c)).To(weir.Discard[byte]()) },
	}
	for name, flow := range blocked {
		t.Run(name, func(t *testing.T) {
			c, _ := connected(t)
			ctx, cancel := context.WithCancelCause(context.Background())
			done := make(chan error)
			go func() { done <- flow(c).Run(ctx) }()
			time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
			select {
			case err := <-done:
				if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("still blocked")
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func passOn() weir.Stage[byte, byte] {
	return weir.Do("pass", func(_ context.Context, in []byte, emit func([]byte) error) error { return emit(in) }, nil)
}

func TestOnStuck_NamesTheStageThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		f := weir.Values(1).To(weir.Each(func(context.Context, int) error {
			<-release
			return nil
		}))
		var named []string
		f.Grace = time.Second
		f.OnStuck = func(stages []string) {
			named = stages
			close(release)
		}
		time.AfterFunc(time.Minute, cancel)
		begin := time.Now()
		err := f.Run(ctx)
		if !errors.Is(err, context.Canceled) || !slices.Equal(named, []string{"each"}) || time.Since(begin) != 61*time.Second {
			t.Error(err, named, time.Since(begin))
		}
		if !slices.Equal(f.Report().Stuck, []string{"each"}) {
			t.Error(f.Report().Stuck)
		}
	})
}

func TestReport_FourStatesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := weir.Each(func(context.Context, int) error {
			time.Sleep(time.Second)
			return nil
		})
		s := weir.FromSeq(func(yield func(int) bool) {
			for i := 0; yield(i); i++ {
				time.Sleep(time.Millisecond)
			}
		})
		s = weir.Map(s, func(i int) (int, error) { return i, nil })
		f := s.Async(weir.Items(10)).To(slow)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		time.Sleep(100*time.Second + 500*time.Millisecond)
		synctest.Wait()
		live := f.Report()
		for _, st := range live.Stages {
			if sum := st.Busy + st.Blocked + st.Starved + st.Outside; sum != st.Wall || st.Wall != live.Wall {
				t.Errorf("%s: %v + %v + %v + %v is not %v (flow: %v)", st.Name, st.Busy, st.Blocked, st.Starved, st.Outside, st.Wall, live.Wall)
			}
		}
		if v := live.Verdict; v.Stage != "each" || v.Why != report.Busy || v.Waiting != "map" {
			t.Errorf("verdict: %+v", v)
		}
		// A wait counts while it lasts, not only when it ends.
		if seq := live.Stages[0]; seq.Share(seq.Blocked) < 0.8 {
			t.Errorf("the source shows %v of %v as blocked", seq.Blocked, seq.Wall)
		}
		cancel()
		<-done
	})
}

func TestBudget_IsNeverExceededAndNeverStopsFlows(t *testing.T) {
	const flows = 40
	budget := weir.NewBudget(1 << 20)
	data := make([]byte, 200_000)
	var wg sync.WaitGroup
	for range flows {
		wg.Go(func() {
			var got countWriter
			f := weir.FromReader(slowReader{weir.KeepOpen(newReader(data))}).Through(passOn(), passOn()).To(weir.ToWriter(&got))
			f.Budget = budget
			if err := f.Run(context.Background()); err != nil || int(got) != len(data) {
				t.Error(err, got)
			}
		})
	}
	wg.Wait()
	if budget.Used() != 0 || budget.Peak() > budget.Total() || budget.Peak() == 0 {
		t.Errorf("used %d, peak %d of %d", budget.Used(), budget.Peak(), budget.Total())
	}
	f := weir.FromReader(newReader(data)).Through(passOn()).To(weir.ToWriter(io.Discard))
	f.Budget = weir.NewBudget(1000)
	if err := f.Run(context.Background()); !errors.Is(err, weir.ErrBudget) {
		t.Error(err)
	}
}

func newReader(b []byte) io.Reader { return struct{ io.Reader }{strings.NewReader(string(b))} }

type slowReader struct{ io.Reader }

func (r slowReader) Read(p []byte) (int, error) {
	runtime.Gosched()
	return r.Reader.Read(p[:min(len(p), 1000)])
}

type countWriter int

func (c *countWriter) Write(p []byte) (int, error) {
	*c += countWriter(len(p))
	return len(p), nil
}
