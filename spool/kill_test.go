package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-go/weir/durable"
)

// childEnv makes the test binary a process to be killed: see child.
const childEnv = "WEIR_SPOOL_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// job is what a child does: it makes Bytes bytes, and copies them through a spool to a
// file. It makes no more than Until, so that it cannot end before it is killed.
type job struct {
	Dir, Out     string
	Bytes, Until int64
	Options      Options
	Segment      int64
}

// block is the part of the data with the number n.
func block(n int64) []byte {
	p := make([]byte, 64<<10)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(p)
	return p
}

func child() error {
	var j job
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &j); err != nil {
		return err
	}
	j.Options.segment = j.Segment
	l, err := Open(context.Background(), j.Dir, j.Options)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	made := make(chan error, 1)
	go func() {
		err := j.produce(ctx, l)
		if err != nil {
			cancel(err)
		}
		made <- err
	}()
	err = j.consume(ctx, l)
	if err != nil {
		cancel(err)
	}
	if err := errors.Join(err, <-made); err != nil {
		return err
	}
	return l.Remove()
}

func (j job) produce(ctx context.Context, l *Log) error {
	k := l.Sink()
	defer k.Close()
	c, err := k.Open(ctx)
	if err != nil || c.End {
		return err
	}
	for at := c.Offset; ; {
		c.Source, c.Offset = durable.Position{Version: "1", Offset: at}, at
		if at == j.Bytes {
			return k.Commit(ctx, c)
		}
		if rand.IntN(4) == 0 {
			if err := k.Save(ctx, c); err != nil {
				return err
			}
		}
		if at >= j.Until {
			<-ctx.Done() // until it is killed
			return context.Cause(ctx)
		}
		p := block(at >> 16)[at&0xffff:]
		n, err := k.Write(ctx, p[:min(int64(len(p)), j.Bytes-at, 1+rand.Int64N(1<<16))])
		if err != nil {
			return err
		}
		at += int64(n)
	}
}

// mark is what the consumer remembers.
type mark struct {
	Position durable.Position
	Done     bool
}

func (j job) consume(ctx context.Context, l *Log) error {
	var m mark
	if p, err := os.ReadFile(j.Out + ".mark"); err == nil {
		if err := json.Unmarshal(p, &m); err != nil {
			return err
		}
	} else {
		m.Position.Version, _ = l.Source().Stat(ctx)
	}
	f, err := os.OpenFile(j.Out, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(m.Position.Offset); err != nil {
		return err
	}
	r, err := l.Source().Open(ctx, m.Position)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 100<<10)
	for {
		n, err := r.Read(buf)
		if _, werr := f.WriteAt(buf[:n], m.Position.Offset); werr != nil {
			return werr
		}
		m.Position.Offset += int64(n)
		if err != nil && err != io.EOF {
			return err
		}
		if rand.IntN(4) == 0 || err == io.EOF {
			p, _ := json.Marshal(m)
			if err := os.WriteFile(j.Out+".new", p, 0o600); err != nil {
				return err
			}
			if err := os.Rename(j.Out+".new", j.Out+".mark"); err != nil {
				return err
			}
			if err := l.Source().Done(ctx, m.Position.Offset); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// A process that is killed again and again copies every byte once. WEIR_LONG makes it
// a GiB and twenty kills.
func TestLog_SurvivesKill9(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	j := job{Dir: filepath.Join(dir, "spool"), Out: filepath.Join(dir, "out"), Bytes: 6<<20 + 12345, Options: Options{Max: 1 << 20}, Segment: 128 << 10}
	kills := int64(5)
	if os.Getenv("WEIR_LONG") != "" {
		j.Bytes, j.Options.Max, j.Segment, kills = 1<<30+12345, 64<<20, 0, 20
	}
	run := func(ctx context.Context) error {
		p, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), childEnv+"="+string(p))
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%w: %s", err, said.String())
		}
		return nil
	}
	for i := range kills {
		j.Until = (i + 1) * j.Bytes / (kills + 1)
		moment := time.Duration(10+rand.IntN(150)) * time.Millisecond
		if os.Getenv("WEIR_LONG") != "" {
			moment *= 10
		}
		ctx, cancel := context.WithTimeout(t.Context(), moment)
		if err := run(ctx); err == nil || ctx.Err() == nil {
			t.Fatalf("it ended before it was killed: %v", err)
		}
		cancel()
	}
	j.Until = j.Bytes
	if err := run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(j.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(f, got)
		if want := block(at >> 16); !bytes.Equal(got[:n], want[:n]) {
			t.Fatal("other bytes in block " + strconv.FormatInt(at>>16, 10))
		}
		at += int64(n)
		if err != nil {
			if at != j.Bytes {
				t.Errorf("%d bytes, want %d", at, j.Bytes)
			}
			break
		}
	}
	expectNothing(t, j.Dir)
}
