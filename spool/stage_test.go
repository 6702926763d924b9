package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/record"
)

// noise is n bytes that differ everywhere.
func noise(n int) []byte { return allNoise()[:n:n] }

var allNoise = sync.OnceValue(func() []byte {
	p := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
})

// small are options with small segments, so that a test needs little data.
func small() Options { return Options{Max: 1 << 20, segment: 128 << 10} }

func expectNothing(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err == nil {
		t.Errorf("left in the folder: %v (%v)", entries, err)
	}
}

// gated waits for release before it takes its first bytes.
func gated(w io.Writer, release <-chan struct{}) weir.Sink[byte] {
	return weir.EachBatch(func(ctx context.Context, p []byte) error {
		select {
		case <-release:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		_, err := w.Write(p)
		return err
	})
}

func TestBytes_PassesOnWhatItGotAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 100, mostData - 1, mostData, mostData + 1, 5 << 20} {
		dir := filepath.Join(t.TempDir(), "spool")
		data := noise(n)
		var got bytes.Buffer
		if err := weir.FromReader(bytes.NewReader(data)).Through(Bytes(dir, small())).To(weir.ToWriter(&got)).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%d bytes: got %d others", n, got.Len())
		}
		expectNothing(t, dir)
	}
}

// The source ends while the sink still waits, and everything is on disk, within the
// maximum.
func TestBytes_LetsTheSourceRunAhead(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	data := noise(900 << 10)
	var got bytes.Buffer
	release := make(chan struct{})
	in := weir.FromReader(bytes.NewReader(data))
	f := in.Through(Bytes(dir, small())).To(gated(&got, release))
	done := make(chan error, 1)
	go func() { done <- f.Run(t.Context()) }()
	for f.Report().Wall == 0 || f.Report().Stages[0].Out < int64(len(data)) {
		select {
		case err := <-done:
			t.Fatalf("the flow ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	r := f.Report()
	if p := r.Pipes[len(r.Pipes)-1]; r.Held > 200<<10 {
		t.Errorf("%d bytes in memory: %+v", r.Held, p)
	}
	close(release)
	if err := <-done; err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	expectNothing(t, dir)
}

// sizeOf adds up the files of a folder.
func sizeOf(t *testing.T, dir string) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

func TestBytes_NeverHoldsMoreThanItsMaximum(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	data := noise(4 << 20)
	got := sha256.New()
	most := int64(0)
	f := weir.FromReader(bytes.NewReader(data)).Through(Bytes(dir, small())).To(weir.EachBatch(func(_ context.Context, p []byte) error {
		most = max(most, sizeOf(t, dir))
		got.Write(p)
		return nil
	}))
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(got.Sum(nil), want[:]) {
		t.Error("other bytes arrived")
	}
	if limit := small().Max; most > limit {
		t.Errorf("the files had %d bytes, and the maximum is %d", most, limit)
	}
	r := f.Report()
	found := false
	for _, p := range r.Pipes {
		if p.Stored {
			found = true
			if p.Name != "spool" || p.Limit != "1 MiB" || p.LimitBytes != 1<<20 || p.In != int64(len(data)) || p.Out != p.In || p.Peak > p.LimitBytes {
				t.Errorf("the report says %+v", p)
			}
		}
	}
	if !found {
		t.Errorf("the report has no store: %+v", r.Pipes)
	}
	expectNothing(t, dir)
}

func TestBytes_EndsLikeOtherStages(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	data := noise(3 << 20)
	cancelled, cancel := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		ctx  context.Context
		in   weir.Stream[byte]
		sink func(p []byte) error
		want error
	}{
		"failure of the source": {in: weir.FromReader(io.MultiReader(bytes.NewReader(data), failing{boom})), want: boom},
		"failure of the sink":   {in: weir.FromReader(bytes.NewReader(data)), sink: func([]byte) error { return boom }, want: boom},
		"enough":                {in: weir.FromReader(bytes.NewReader(data)), sink: func([]byte) error { return weir.ErrStop }},
		"panic":                 {in: weir.FromReader(bytes.NewReader(data)), sink: func([]byte) error { panic(boom) }, want: boom},
		"end of the context":    {ctx: cancelled, in: weir.FromReader(bytes.NewReader(data)), sink: func([]byte) error { cancel(); return nil }, want: context.Canceled},
	} {
		dir := filepath.Join(t.TempDir(), "spool")
		var n int
		ctx := c.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		err := c.in.Through(Bytes(dir, small())).To(weir.EachBatch(func(_ context.Context, p []byte) error {
			n += len(p)
			if c.sink != nil {
				return c.sink(p)
			}
			return nil
		})).Run(ctx)
		var pe *weir.PanicError
		if !errors.Is(err, c.want) && !(errors.As(err, &pe) && pe.Value == c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.sink == nil && n != len(data) {
			t.Errorf("%s: %d bytes arrived before it", name, n)
		}
		expectNothing(t, dir)
	}
	cancel()
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestBytes_OneRunUsesAFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	st := Bytes(dir, small())
	release := make(chan struct{})
	first := weir.FromReader(strings.NewReader("first")).Through(st).To(gated(io.Discard, release))
	done := make(chan error, 1)
	go func() { done <- first.Run(t.Context()) }()
	for first.Report().Wall == 0 || first.Report().Stages[0].Out == 0 {
		select {
		case err := <-done:
			t.Fatalf("the flow ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	err := weir.FromReader(strings.NewReader("second")).Through(st).To(weir.Discard[byte]()).Run(t.Context())
	if !errors.Is(err, durable.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second run: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	expectNothing(t, dir)
}

func TestBytes_WaitsForARunThatEnds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	first, err := open(t.Context(), dir, small(), modeBuffer)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	second := weir.FromReader(strings.NewReader("second")).Through(Bytes(dir, small())).To(weir.ToWriter(&got))
	done := make(chan error, 1)
	go func() { done <- second.Run(t.Context()) }()
	select {
	case err := <-done:
		t.Errorf("it did not wait: %v", err)
		return
	case <-time.After(50 * time.Millisecond):
	}
	if err := first.Remove(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil || got.String() != "second" {
		t.Errorf("%q, %v", got.String(), err)
	}
	expectNothing(t, dir)
}

func TestBytes_RemovesWhatAKilledRunLeft(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	l, err := open(t.Context(), dir, small(), modeBuffer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.put(noise(500 << 10)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil { // as if it had been killed
		t.Fatal(err)
	}
	if sizeOf(t, dir) < 100<<10 {
		t.Fatal("nothing was left")
	}
	var got bytes.Buffer
	if err := weir.FromReader(strings.NewReader("new")).Through(Bytes(dir, small())).To(weir.ToWriter(&got)).Run(t.Context()); err != nil || got.String() != "new" {
		t.Errorf("%q, %v", got.String(), err)
	}
	expectNothing(t, dir)
}

func TestBytes_RefusesAFolderOfOthers(t *testing.T) {
	t.Parallel()
	run := func(dir string) error {
		return weir.FromReader(strings.NewReader("new")).Through(Bytes(dir, small())).To(weir.Discard[byte]()).Run(t.Context())
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); !errors.Is(err, durable.ErrOther) || !strings.Contains(err.Error(), `"mine.txt"`) {
		t.Errorf("a folder with a file: %v", err)
	}
	dir = filepath.Join(t.TempDir(), "spool")
	l, err := Open(t.Context(), dir, small())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); !errors.Is(err, durable.ErrOther) || !strings.Contains(err.Error(), "remove the folder") {
		t.Errorf("a durable spool: %v", err)
	}
	// An empty folder that was there before stays.
	dir = t.TempDir()
	if err := run(dir); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestBytes_RefusesImpossibleOptions(t *testing.T) {
	t.Parallel()
	for _, st := range []weir.Stage[byte, byte]{Bytes("", Options{}), Bytes("x", Options{Max: 1 << 20}), Bytes("x", Options{Max: -1})} {
		if err := weir.Values[byte](1).Through(st).To(weir.Discard[byte]()).Check(); err == nil {
			t.Error("no error")
		}
	}
	if err := weir.Values(1).Through(Items[int]("x", Options{}, nil, nil)).To(weir.Discard[int]()).Check(); err == nil {
		t.Error("no error for nil functions")
	}
}

func TestItems_ComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	type order struct {
		ID   int
		Item string
	}
	dir := filepath.Join(t.TempDir(), "spool")
	var want []order
	for i := range 5000 {
		want = append(want, order{i, strings.Repeat("x", i%300)})
	}
	st := Items(dir, small(), record.EncodeJSON[order], func(s weir.Stream[byte]) weir.Stream[order] { return record.DecodeJSON[order](s, 0) })
	got, err := weir.Collect(t.Context(), weir.FromSlice(want).Through(st), 10_000)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d items, %v", len(got), err)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("item %d is %v", i, got[i])
		}
	}
	expectNothing(t, dir)
}
