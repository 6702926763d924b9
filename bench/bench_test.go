package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestContenders_OfARowReturnTheSame(t *testing.T) {
	e := &env{dir: t.TempDir(), quick: true}
	for _, r := range allRows(e) {
		t.Run(r.name, func(t *testing.T) {
			if r.contenders[0].loop == nil {
				t.Skip("its contenders are processes, and checked when they run")
			}
			if err := r.prepare0(e); err != nil {
				t.Fatal(err)
			}
			var want uint64
			for i, c := range r.contenders {
				got, err := c.loop(1000)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if i > 0 && got != want {
					t.Errorf("%s returned %d, %s %d", c.name, got, r.contenders[0].name, want)
				}
				want = got
			}
		})
	}
}

func TestTargets_NameContendersOfTheirRow(t *testing.T) {
	for _, r := range allRows(&env{dir: t.TempDir(), quick: true}) {
		names := map[string]bool{"": true}
		for _, c := range r.contenders {
			if names[c.name] {
				t.Errorf("%s: two contenders are called %q", r.name, c.name)
			}
			names[c.name] = true
		}
		if !names[r.base] {
			t.Errorf("%s: no contender is called %q", r.name, r.base)
		}
		for _, tg := range r.targets {
			if !names[tg.ours] || !names[tg.peer] {
				t.Errorf("%s: %q names a contender that is not there", r.name, tg.what)
			}
		}
	}
}

func TestChoose_TakesRowsByTheBeginningOfTheirNames(t *testing.T) {
	rows := []row{{name: "items"}, {name: "bytes-64"}, {name: "bytes-4K"}}
	for only, want := range map[string]string{"": "items bytes-64 bytes-4K", "bytes": "bytes-64 bytes-4K", "bytes-4,it": "items bytes-4K", "none": ""} {
		var names []string
		for _, r := range choose(rows, only) {
			names = append(names, r.name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q chose %q, want %q", only, got, want)
		}
	}
}

func TestReplaceTable_PutsItBetweenItsMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	os.WriteFile(path, []byte("before\n"+tableBegin+"old\n"+tableEnd+"\nafter\n"), 0o666)
	for range 2 {
		if err := replaceTable(path, "new"); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(path)
	if want := "before\n" + tableBegin + "\nnew\n" + tableEnd + "\nafter\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	os.WriteFile(path, []byte("no marks"), 0o666)
	if replaceTable(path, "new") == nil {
		t.Error("a file without marks was changed")
	}
}

func TestMedian_IsTheMiddleOrBetween(t *testing.T) {
	for _, c := range []struct {
		vs   []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{7}, 7}} {
		if got := median(c.vs); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.vs, got, c.want)
		}
	}
}

func TestLogBlock_IsTheSameEachTime(t *testing.T) {
	a, b := logBlock(1<<16), logBlock(1<<16)
	if string(a) != string(b) || len(a) != 1<<16 {
		t.Error("two blocks differ")
	}
	for _, c := range a {
		if c >= 0x80 {
			t.Fatal("it is not ASCII")
		}
	}
}

// Benchmark runs the rows whose contenders are loops in this process.
func Benchmark(b *testing.B) {
	e := &env{dir: b.TempDir(), quick: true}
	for _, r := range allRows(e) {
		if r.contenders[0].loop == nil {
			continue
		}
		b.Run(r.name, func(b *testing.B) {
			if err := r.prepare0(e); err != nil {
				b.Fatal(err)
			}
			for _, c := range r.contenders {
				b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(r.bytes))
					if _, err := c.loop(max(b.N, 2)); err != nil {
						b.Fatal(err)
					}
				})
			}
		})
	}
}

func (r row) prepare0(e *env) error {
	if r.prepare == nil {
		return nil
	}
	return r.prepare(context.Background(), e)
}
