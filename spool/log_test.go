package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
)

func mustOpen(t *testing.T, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// producer writes data to a sink as a durable flow does, from its checkpoint on.
type producer struct {
	sink durable.Sink
	data []byte
	at   int
}

func produce(t *testing.T, l *Log, data []byte) *producer {
	t.Helper()
	p := &producer{sink: l.Sink(), data: data}
	c, err := p.sink.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.at = int(c.Offset)
	return p
}

func (p *producer) write(ctx context.Context, n int) error {
	n, err := p.sink.Write(ctx, p.data[p.at:min(len(p.data), p.at+n)])
	p.at += n
	return err
}

func (p *producer) checkpoint() durable.Checkpoint {
	return durable.Checkpoint{From: "data", Source: durable.Position{Version: "1", Offset: int64(p.at)}, Offset: int64(p.at)}
}

func (p *producer) save(ctx context.Context) error { return p.sink.Save(ctx, p.checkpoint()) }

// read reads n bytes, or less at the end, and compares them with data.
func expectRead(t *testing.T, r io.Reader, data []byte, at, n int) int {
	t.Helper()
	got := make([]byte, n)
	m, err := io.ReadFull(r, got)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		t.Fatalf("at %d: %v", at, err)
	}
	if !bytes.Equal(got[:m], data[at:at+m]) {
		t.Fatalf("other bytes between %d and %d", at, at+m)
	}
	return at + m
}

func consume(t *testing.T, l *Log, offset int) io.ReadCloser {
	t.Helper()
	version, err := l.Source().Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Source().Open(t.Context(), durable.Position{Version: version, Offset: int64(offset)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLog_GivesBackWhatItGot(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	data := noise(3 << 20)
	l := mustOpen(t, dir, small())
	done := make(chan error, 1)
	go func() {
		p := produce(t, l, data)
		var err error
		for err == nil && p.at < len(data) {
			if err = p.write(t.Context(), 50_000); err == nil && p.at%7 == 0 {
				err = p.save(t.Context())
			}
		}
		if err == nil {
			err = p.save(t.Context())
		}
		if err == nil {
			err = p.sink.Commit(t.Context(), p.checkpoint())
		}
		done <- err
	}()
	r := consume(t, l, 0)
	for l.Stats().Refused == 0 { // it is full
		select {
		case err := <-done:
			t.Fatalf("the producer ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	for at := 0; at < len(data); {
		at = expectRead(t, r, data, at, 100_000)
		if err := l.Source().Done(t.Context(), int64(at)); err != nil {
			t.Fatal(err)
		}
		if n := sizeOf(t, dir); n > small().Max {
			t.Errorf("%d bytes on disk", n)
		}
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s := l.Stats()
	if s.Written != int64(len(data)) || s.Durable != s.Written || s.Done != s.Written || s.Lag() != 0 || !s.Ended || s.Refused == 0 || s.Waited == 0 || s.Held > s.Max {
		t.Errorf("%+v", s)
	}
	r.Close()
	if err := l.Remove(); err != nil {
		t.Error(err)
	}
	expectNothing(t, dir)
}

// A model of a log: it is written, saved, read, freed, closed and opened again at
// random, and always has what was saved, and the bytes in order.
func TestLog_BehavesLikeItsModel(t *testing.T) {
	t.Parallel()
	seeds := uint64(8)
	if os.Getenv("WEIR_LONG") != "" {
		seeds = 500
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 0))
			dir := filepath.Join(t.TempDir(), "spool")
			data := noise(4 << 20)
			o := small()
			l := mustOpen(t, dir, o)
			p := produce(t, l, data)
			var r io.ReadCloser
			saved, read, done := 0, 0, 0 // the reader's sink has everything before done
			short, stop := context.WithCancel(t.Context())
			stop() // what waits returns at once
			for range 300 {
				switch rnd.IntN(8) {
				case 0, 1, 2:
					if err := p.write(short, rnd.IntN(200_000)); err != nil && !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
				case 3:
					if err := p.save(t.Context()); err != nil {
						t.Fatal(err)
					}
					saved = p.at
				case 4, 5:
					if r == nil {
						r = consume(t, l, done)
						read = done
					}
					if most := int(l.Stats().Written) - read; most > 0 {
						read = expectRead(t, r, data, read, min(most, rnd.IntN(300_000)))
					}
				case 6:
					if done = read; r == nil {
						continue
					}
					if err := l.Source().Done(t.Context(), int64(done)); err != nil {
						t.Fatal(err)
					}
				case 7:
					if r != nil {
						r.Close()
						r = nil
					}
					if rnd.IntN(2) == 0 {
						continue // only the reader begins again
					}
					read = done
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					l = mustOpen(t, dir, o)
					if p = produce(t, l, data); p.at != saved {
						t.Fatalf("it continues at %d, and %d bytes were saved", p.at, saved)
					}
				}
				if s := l.Stats(); s.Held > s.Max || int64(done) > s.Durable || sizeOf(t, dir) > s.Max {
					t.Fatalf("%+v, %d bytes on disk", s, sizeOf(t, dir))
				}
			}
			if r != nil {
				r.Close()
			}
		})
	}
}

func TestLog_IsUsedByOne(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	mustOpen(t, dir, Options{})
	if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, durable.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

// Bytes that are not on stable storage are not read: a sink that is ahead of the spool
// after a power cut could not be continued.
func TestSource_ReadsOnlyWhatIsSynced(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	var mu sync.Mutex
	synced := map[string]int64{}
	o := small()
	o.hooks.synced = func(name string, size int64) {
		mu.Lock()
		defer mu.Unlock()
		synced[name] = max(synced[name], size)
	}
	l := mustOpen(t, dir, o)
	data := noise(300_000)
	p := produce(t, l, data)
	r := consume(t, l, 0)
	defer r.Close()
	for at := 0; p.at < len(data); {
		if err := p.write(t.Context(), 10_000); err != nil {
			t.Fatal(err)
		}
		at = expectRead(t, r, data, at, 10_000)
		if s := l.Stats(); s.Durable < int64(at) {
			t.Fatalf("%d bytes were read, and %d are durable", at, s.Durable)
		}
		mu.Lock()
		sum := int64(0)
		for _, n := range synced {
			sum += n
		}
		mu.Unlock()
		if sum < int64(at) {
			t.Fatalf("%d bytes were read, and the files were synced up to %d bytes", at, sum)
		}
	}
}

func TestSource_CloseAndTheContextInterruptARead(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, filepath.Join(t.TempDir(), "spool"), small())
	version, _ := l.Source().Stat(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	for _, interrupt := range []func(io.Closer){func(c io.Closer) { c.Close() }, func(io.Closer) { cancel() }, func(io.Closer) { l.Close() }} {
		r, err := l.Source().Open(ctx, durable.Position{Version: version})
		if errors.Is(ctx.Err(), context.Canceled) {
			ctx = t.Context()
			r, err = l.Source().Open(ctx, durable.Position{Version: version})
		}
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := r.Read(make([]byte, 1))
			done <- err
		}()
		interrupt(r)
		if err := <-done; err == nil || err == io.EOF {
			t.Errorf("Read returned %v", err)
		}
		r.Close()
	}
}

func TestSource_RefusesAPositionItDoesNotHave(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, filepath.Join(t.TempDir(), "spool"), small())
	version, _ := l.Source().Stat(t.Context())
	for _, p := range []durable.Position{{Version: "other"}, {Version: version, Offset: 1}} {
		if _, err := l.Source().Open(t.Context(), p); !errors.Is(err, endpoint.ErrChanged) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestSink_ForgetEmptiesTheSpool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	l := mustOpen(t, dir, small())
	p := produce(t, l, noise(500_000))
	if err := p.write(t.Context(), 500_000); err != nil {
		t.Fatal(err)
	}
	if err := p.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	was, _ := l.Source().Stat(t.Context())
	if err := p.sink.(interface{ Forget(context.Context) error }).Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if is, _ := l.Source().Stat(t.Context()); is == was {
		t.Error("the emptied spool has the same version")
	}
	data := noise(300_000)
	if p = produce(t, l, data); p.at != 0 {
		t.Errorf("it continues at %d", p.at)
	}
	if err := p.write(t.Context(), len(data)); err != nil {
		t.Fatal(err)
	}
	r := consume(t, l, 0)
	defer r.Close()
	expectRead(t, r, data, 0, len(data))
}

// A producer that continues with other bytes is found out.
func TestSink_ComparesWhatTheProducerRepeats(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	data := noise(400_000)
	l := mustOpen(t, dir, small())
	p := produce(t, l, data)
	if err := p.write(t.Context(), len(data)); err != nil {
		t.Fatal(err)
	}
	r := consume(t, l, 0)
	expectRead(t, r, data, 0, len(data)) // so it is on disk, without a checkpoint
	r.Close()
	l.Close()
	other := bytes.Clone(data)
	other[250_000]++
	l = mustOpen(t, dir, small())
	p = produce(t, l, other)
	if err := p.write(t.Context(), len(data)); !errors.Is(err, durable.ErrOther) {
		t.Errorf("other bytes: %v", err)
	}
	l.Close()
	l = mustOpen(t, dir, small())
	p = produce(t, l, data[:300_000])
	if err := p.write(t.Context(), len(data)); err != nil {
		t.Error(err)
	}
	if err := p.sink.Commit(t.Context(), p.checkpoint()); !errors.Is(err, durable.ErrOther) {
		t.Errorf("an earlier end: %v", err)
	}
}

// fill makes a spool with several segments and returns what is in it.
func fill(t *testing.T, dir string) []byte {
	t.Helper()
	data := noise(700_000)
	l := mustOpen(t, dir, small())
	p := produce(t, l, data)
	for p.at < len(data) {
		if err := p.write(t.Context(), 20_000); err != nil {
			t.Fatal(err)
		}
		if p.at%50_000 < 20_000 {
			if err := p.save(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

func segmentsIn(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil || len(names) < 3 {
		t.Fatal(names, err)
	}
	return names
}

// Damage anywhere in what was synced is found, and named, when it is opened or read.
func TestOpen_FindsDamage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	data := fill(t, dir)
	for i, name := range segmentsIn(t, dir) {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		last := i == len(segmentsIn(t, dir))-1
		end := len(whole)
		if last { // nothing proves that the last frame was synced
			end = len(whole) / 2
		}
		for at := 0; at < end; at += 1 + end/23 {
			broken := bytes.Clone(whole)
			broken[at] ^= 0x10
			if err := os.WriteFile(name, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			err := readAll(t, dir, data)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(name)) {
				t.Errorf("byte %d of %s was changed: %v", at, filepath.Base(name), err)
			}
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if last {
			continue
		}
		if err := os.Rename(name, name+"~"); err != nil {
			t.Fatal(err)
		}
		if err := readAll(t, dir, data); err == nil {
			t.Errorf("without %s everything was read", name)
		}
		if err := os.Rename(name+"~", name); err != nil {
			t.Fatal(err)
		}
	}
	if err := readAll(t, dir, data); err != nil {
		t.Error(err)
	}
}

// readAll opens the spool and reads all of data.
func readAll(t *testing.T, dir string, data []byte) error {
	t.Helper()
	l, err := Open(t.Context(), dir, small())
	if err != nil {
		return err
	}
	defer l.Close()
	version, _ := l.Source().Stat(t.Context())
	r, err := l.Source().Open(t.Context(), durable.Position{Version: version})
	if err != nil {
		return err
	}
	defer r.Close()
	got := make([]byte, len(data))
	if n := l.Stats().Durable; n != int64(len(data)) {
		return fmt.Errorf("it has %d of %d bytes", n, len(data))
	}
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes were read without an error")
	}
	return nil
}

// A tail that a crash left is cut off, however long it is.
func TestOpen_CutsOffATornTail(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	data := fill(t, dir)
	names := segmentsIn(t, dir)
	name := names[len(names)-1]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var id logID
	copy(id[:], whole[8:])
	f := frame{kind: kindData, length: 1000, offset: int64(len(data)), synced: int64(len(whole))}
	next := make([]byte, frameLen+1000)
	f.put(next, &id)
	for _, tail := range [][]byte{{0}, make([]byte, 5000), next[:20], next[:frameLen], next, noise(3000), append(make([]byte, 4096), next...)} {
		if err := os.WriteFile(name, append(bytes.Clone(whole), tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := readAll(t, dir, data); err != nil {
			t.Errorf("with a tail of %d bytes: %v", len(tail), err)
		}
		if got, _ := os.ReadFile(name); !bytes.Equal(got, whole) {
			t.Errorf("a tail of %d bytes: the file has %d bytes, want %d", len(tail), len(got), len(whole))
		}
	}
	// And so is a segment that a crash left without a head.
	torn := filepath.Join(dir, segmentName(int64(len(names))))
	for _, p := range [][]byte{nil, make([]byte, headLen), whole[:headLen-1], noise(2000)} {
		if err := os.WriteFile(torn, p, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := readAll(t, dir, data); err != nil {
			t.Errorf("with a segment of %d bytes: %v", len(p), err)
		}
		if _, err := os.Stat(torn); err == nil {
			t.Error("it is still there")
		}
	}
}

// A full disk is an error on both ends. Nothing of what did not fit counts, and the
// next run continues.
func TestLog_ContinuesAfterAFullDisk(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	data := noise(900_000)
	for _, room := range []int64{200_000, 201_234, 262_144, 390_000} {
		o := small()
		left := room
		o.hooks.write = func(f *os.File, p []byte, at int64) (int, error) {
			if int64(len(p)) > left {
				n, _ := f.WriteAt(p[:left], at)
				left -= int64(n)
				return n, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
			}
			left -= int64(len(p))
			return f.WriteAt(p, at)
		}
		l := mustOpen(t, dir, o)
		p := produce(t, l, data)
		saved := p.at
		var err error
		for err == nil {
			if err = p.write(t.Context(), 30_000); err == nil {
				if err = p.save(t.Context()); err == nil {
					saved = p.at
				}
			}
		}
		if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), ";") {
			t.Fatalf("the producer got %v", err)
		}
		r := consume(t, l, 0)
		got, err := io.ReadAll(r)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("the consumer got %v", err)
		}
		if len(got) < saved || !bytes.Equal(got, data[:len(got)]) {
			t.Errorf("%d bytes were read, and %d were saved", len(got), saved)
		}
		r.Close()
		l.Close()
		l = mustOpen(t, dir, small())
		p = expectContinued(t, l, data, saved)
		if err := p.save(t.Context()); err != nil {
			t.Error(err)
		}
		if err := l.Remove(); err != nil {
			t.Error(err)
		}
	}
}

// disk plays the part of a disk that forgets what was not synced.
type disk struct {
	mu     sync.Mutex
	synced map[string]int64 // size of the file that a crash leaves at least
	named  map[string]bool  // files that a crash leaves
}

func (d *disk) watch(o *Options) {
	d.synced, d.named = map[string]int64{}, map[string]bool{}
	o.hooks.synced = func(name string, size int64) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.synced[name] = max(d.synced[name], size)
	}
	o.hooks.named = func(name string, there bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.named[name] = there; !there {
			delete(d.synced, name)
		}
	}
}

// cut copies what is left of a folder after a power cut: of each file what was synced,
// and a part of the rest, some of it as zeros or noise.
func (d *disk) cut(t *testing.T, rnd *rand.Rand, from, to string) {
	t.Helper()
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range entries {
		name := e.Name()
		if name == lockName || !d.named[name] && rnd.IntN(2) == 0 {
			continue
		}
		p, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		least := int(d.synced[name])
		if least > len(p) {
			t.Fatalf("%s has %d bytes, and %d were synced", name, len(p), least)
		}
		p = p[:least+rnd.IntN(len(p)-least+1)]
		for at := least; at < len(p); at += 512 { // sectors arrive in any order
			sector := p[at:min(len(p), at+512)]
			switch rnd.IntN(4) {
			case 0:
				clear(sector)
			case 1:
				binary.LittleEndian.PutUint64(append(sector[:0:0], make([]byte, 8)...), rnd.Uint64())
				for i := range sector {
					sector[i] = byte(rnd.Uint32())
				}
			}
		}
		if err := os.WriteFile(filepath.Join(to, name), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// At each moment the power can fail: what was saved is there, and so is what was read.
func TestLog_SurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	seeds := uint64(4)
	if os.Getenv("WEIR_LONG") != "" {
		seeds = 500
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			dir := filepath.Join(t.TempDir(), "spool")
			data := noise(2 << 20)
			o := small()
			var d disk
			d.watch(&o)
			l := mustOpen(t, dir, o)
			p := produce(t, l, data)
			r := consume(t, l, 0)
			defer r.Close()
			saved, read, done := 0, 0, 0
			for i := range 100 {
				switch rnd.IntN(4) {
				case 0, 1:
					if err := p.write(t.Context(), min(rnd.IntN(60_000), int(l.opts.Max-spare-l.Stats().Held)-2000)); err != nil {
						t.Fatal(err)
					}
				case 2:
					if err := p.save(t.Context()); err != nil {
						t.Fatal(err)
					}
					saved = p.at
				case 3:
					if most := p.at - read; most > 0 {
						read = expectRead(t, r, data, read, 1+rnd.IntN(most))
					}
					done = max(done, read-rnd.IntN(50_000))
					if err := l.Source().Done(t.Context(), int64(done)); err != nil {
						t.Fatal(err)
					}
				}
				if i%5 != 0 {
					continue
				}
				image := filepath.Join(t.TempDir(), "image")
				d.cut(t, rnd, dir, image)
				after, err := Open(t.Context(), image, small())
				if err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				q := produce(t, after, data)
				if q.at != saved {
					t.Fatalf("step %d: it continues at %d, and %d bytes were saved", i, q.at, saved)
				}
				if s := after.Stats(); s.Durable < int64(read) || s.Done > int64(done) {
					t.Fatalf("step %d: %d bytes were read and %d freed, and there is %+v", i, read, done, s)
				}
				if err := q.write(t.Context(), max(0, p.at-q.at)); err != nil {
					t.Fatal(err)
				}
				again := consume(t, after, done)
				expectRead(t, again, data, done, p.at-done)
				again.Close()
				after.Close()
			}
		})
	}
}

// BenchmarkOpen_AfterACrash opens a spool of 160 MiB whose last segment is nearly full.
func BenchmarkOpen_AfterACrash(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "spool")
	l, err := Open(context.Background(), dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for l.written < 5*mostSegment-(4<<20) { // with a checkpoint every 5 MiB
		if _, err := l.put(noise(5 << 20)); err != nil {
			b.Fatal(err)
		}
		if err := l.save(durable.Checkpoint{Offset: l.written}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		l.Close()
		if l, err = Open(context.Background(), dir, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	l.Remove()
}

// expectContinued continues a log at what was saved, writes the rest of data, and reads all
// of it.
func expectContinued(t *testing.T, l *Log, data []byte, saved int) *producer {
	t.Helper()
	p := produce(t, l, data)
	if p.at != saved {
		t.Errorf("it continues at %d, and %d bytes were saved", p.at, saved)
	}
	if err := p.write(t.Context(), len(data)); err != nil {
		t.Fatal(err)
	}
	r := consume(t, l, 0)
	expectRead(t, r, data, 0, len(data))
	r.Close()
	return p
}
