package pipe

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

func TestPipe_AfterAPanicInSizeAllOfItWorks(t *testing.T) {
	type use struct {
		name string
		do   func(p *Pipe[int], v int)
	}
	batch := func(v int) []int { // so long that it is weighed in pieces
		vs := make([]int, 3*weighed)
		vs[len(vs)-1] = v
		return vs
	}
	for _, u := range []use{
		{"Send", func(p *Pipe[int], v int) { p.Send(context.Background(), nil, v) }},
		{"Write of many", func(p *Pipe[int], v int) { p.Write(context.Background(), nil, batch(v)) }},
		{"Write of two", func(p *Pipe[int], v int) { p.Write(context.Background(), nil, []int{1, v}) }},
		{"TryWrite of one", func(p *Pipe[int], v int) { p.TryWrite([]int{v}) }},
		{"TryWrite of two", func(p *Pipe[int], v int) { p.TryWrite([]int{1, v}) }},
		{"a branch that blocks", func(p *Pipe[int], v int) { WriteFit(p, batch(v)) }},
		{"a branch that drops the newest", func(p *Pipe[int], v int) { WriteSome(p, batch(v)) }},
		{"a branch that drops the oldest", func(p *Pipe[int], v int) { WriteOver(p, batch(v)) }},
	} {
		t.Run(u.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(Config[int]{Limit: ofBytes(1 << 20), Size: func(v int) int {
					if v == 13 {
						panic("unlucky")
					}
					return v
				}})
				got := make(chan int)
				go func() {
					n := 0
					for {
						v, err := p.Recv(t.Context())
						if err != nil {
							got <- n
							return
						}
						n += v
					}
				}()
				synctest.Wait() // the reader is parked
				func() {
					defer func() {
						if recover() != "unlucky" {
							t.Error("the panic did not arrive")
						}
					}()
					u.do(p, 13)
				}()
				if err := p.Send(t.Context(), nil, 100); err != nil {
					t.Error(err)
				}
				if s := p.g.Stats(); s.WaitingSend != 0 || p.g.w.taken {
					t.Errorf("the turn is still taken: %+v", s)
				}
				p.g.CloseWrite(nil)
				if n := <-got; n < 100 {
					t.Errorf("the reader got a sum of %d", n)
				}
			})
		})
	}
}

func TestPipe_SizeIsAskedOnceForEachValue(t *testing.T) {
	asked := 0
	p := New(Config[int]{Limit: ofBytes(500), Size: func(v int) int { asked++; return v }})
	const n = 10_000
	go func() {
		vs := make([]int, n)
		for i := range vs {
			vs[i] = i % 90
		}
		p.Write(context.Background(), nil, vs)
		p.g.CloseWrite(nil)
	}()
	buf := make([]int, 7)
	for sum := 0; ; {
		k, _, err := p.Read(t.Context(), nil, buf)
		for _, v := range buf[:k] {
			if v != sum%90 {
				t.Fatalf("value %d is %d", sum, v)
			}
			sum++
		}
		if err != nil {
			if sum != n || err != io.EOF {
				t.Errorf("%d values, %v", sum, err)
			}
			break
		}
	}
	if asked != n {
		t.Errorf("asked %d times for the size of %d values", asked, n)
	}
}

// Whatever is written and read, what the pipe says it holds is what it holds.
func TestPipe_ChargesComeOutAsTheyWentIn(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		p := New(Config[string]{Limit: Limit{Bytes: 4000, HasBytes: true, Items: 100, HasItems: true}})
		var model []string
		largest := int64(0)
		charge := func(vs []string) (sum int64) {
			for _, v := range vs {
				sum += 16 + int64(len(v))
			}
			return sum
		}
		for range 300 {
			switch rnd.IntN(5) {
			case 0, 1:
				vs := make([]string, 1+rnd.IntN(100))
				for i := range vs {
					vs[i] = strings.Repeat("x", rnd.IntN(80))
				}
				if rnd.IntN(10) == 0 {
					vs[0] = strings.Repeat("y", 5000)
				}
				in := vs
				if rnd.IntN(2) == 0 {
					rest, err := WriteFit(p, vs)
					if err != nil {
						t.Fatal(err)
					}
					in = vs[:len(vs)-rest]
					model = append(model, in...)
				} else {
					dropped, err := WriteOver(p, vs)
					if err != nil {
						t.Fatal(err)
					}
					model = append(model, vs...)[dropped:]
				}
				for _, v := range in {
					largest = max(largest, 16+int64(len(v)))
				}
			case 2:
				dst := make([]string, 1+rnd.IntN(30))
				n, _ := p.TryRead(dst, NoMost)
				if !slices.Equal(dst[:n], model[:n]) {
					t.Fatal("the values differ")
				}
				model = model[n:]
			case 3:
				if len(model) == 0 {
					continue
				}
				dst, most := make([]string, 1+rnd.IntN(30)), int64(rnd.IntN(600))
				n, _, c, err := p.ReadUpTo(t.Context(), nil, dst, most)
				if err != nil || !slices.Equal(dst[:n], model[:n]) {
					t.Fatal("the values differ", err)
				}
				if c != charge(dst[:n]) || n > 1 && c > most {
					t.Fatalf("read %d values of %d bytes; charge %d, at most %d", n, charge(dst[:n]), c, most)
				}
				if n < min(len(dst), len(model)) && c+charge(model[n:n+1]) <= most {
					t.Fatalf("read %d values of %d bytes, and the next would have fitted into %d", n, c, most)
				}
				model = model[n:]
			case 4:
				if len(model) == 0 {
					continue
				}
				view, err := p.Acquire(t.Context(), nil)
				if err != nil || !slices.Equal(view, model[:len(view)]) {
					t.Fatal("the view differs", err)
				}
				n := rnd.IntN(len(view) + 1)
				p.Release(n)
				model = model[n:]
			}
			s := p.g.Stats()
			if s.Bytes != charge(model) || s.Items != int64(len(model)) || s.Largest != largest {
				t.Fatalf("seed %d: holds %d bytes in %d values, largest %d; stats %+v", seed, charge(model), len(model), largest, s)
			}
			if s.Bytes > 4000 && s.Items > 1 || s.Items > 100 || s.Peak > max(4000, largest) {
				t.Fatalf("seed %d: the limit is exceeded: %+v", seed, s)
			}
		}
	}
}

func TestPipe_ReadUpToTakesNoMoreThanItIsTold(t *testing.T) {
	p := New(Config[int64]{Limit: ofItems(10)})
	p.Write(t.Context(), nil, []int64{1, 2, 3, 4, 5})
	var dst [10]int64
	for _, c := range []struct {
		most   int64
		n      int
		first  int64
		charge int64
	}{{0, 1, 0, 8}, {17, 2, 1, 16}, {1000, 2, 3, 16}} {
		n, first, charge, err := p.ReadUpTo(t.Context(), nil, dst[:], c.most)
		if n != c.n || first != c.first || charge != c.charge || err != nil {
			t.Errorf("up to %d: %d values from %d of %d bytes, %v", c.most, n, first, charge, err)
		}
	}
}

func TestPipe_WithoutBudgetErrTooLargeIsForTryWriteAlone(t *testing.T) {
	p := New(Config[string]{Limit: ofBytes(100)})
	large := strings.Repeat("x", 1000)
	if err := p.TryWrite([]string{large, "x"}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("TryWrite = %v", err)
	}
	var b Budget
	b.Init(10)
	p.g.Join(&b)
	if err := p.Send(t.Context(), nil, large); err != nil {
		t.Errorf("Send = %v for a value larger than the pipe and the budget", err)
	}
}
