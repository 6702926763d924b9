package e2e

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
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/spool"
)

// A producer and a consumer in one process, with a durable buffer between them, so
// that nothing that was acknowledged is lost: one frame of 256 KiB after the other.
const (
	spoolEnv   = "WEIR_E2E_SPOOL"
	spoolFrame = 256 << 10
	spoolPace  = 8 << 20 // the consumer frees what it has after so many bytes
)

// spooled is what a child is asked to do, and what it took.
type spooled struct {
	How    string
	Dir    string
	Bytes  int64
	Memory int64 // the most that was resident, in bytes
}

// A child is the test binary itself, so that its memory and its time are its own.
func init() {
	text := os.Getenv(spoolEnv)
	if text == "" {
		return
	}
	var s spooled
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		err = map[string]func(spooled) error{"spool": throughSpool, "jetstream": throughJetStream, "nothing": func(spooled) error { return nil }}[s.How](s)
	}
	if err == nil {
		s.Memory, err = peakMemory("self")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(s)
	os.Exit(0)
}

// peakMemory returns the most memory that the process has had resident.
func peakMemory(process string) (int64, error) {
	status, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, err := strconv.ParseInt(strings.Fields(rest + " x")[0], 10, 64)
	return n << 10, err
}

func spoolFrameData() []byte {
	p := make([]byte, spoolFrame)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

func throughSpool(s spooled) error {
	l, err := spool.Open(context.Background(), s.Dir, spool.Options{Max: 1 << 30})
	if err != nil {
		return err
	}
	defer l.Remove()
	ctx := context.Background()
	made := make(chan error, 1)
	go func() {
		k := l.Sink()
		c, err := k.Open(ctx)
		p := spoolFrameData()
		for saved := int64(0); err == nil && c.Offset < s.Bytes; {
			if _, err = k.Write(ctx, p); err != nil {
				break
			}
			if c.Offset += int64(len(p)); c.Offset-saved >= spoolPace {
				saved = c.Offset
				err = k.Save(ctx, c)
			}
		}
		if err == nil {
			err = k.Commit(ctx, c)
		}
		made <- err
	}()
	version, err := l.Source().Stat(ctx)
	if err != nil {
		return err
	}
	r, err := l.Source().Open(ctx, durable.Position{Version: version})
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, spoolFrame)
	for at, done := int64(0), int64(0); ; {
		n, err := r.Read(buf)
		if at += int64(n); at-done >= spoolPace {
			done = at
			if err := l.Source().Done(ctx, done); err != nil {
				return err
			}
		}
		if err == io.EOF {
			if at != s.Bytes {
				return fmt.Errorf("%d bytes arrived", at)
			}
			return <-made
		}
		if err != nil {
			return err
		}
	}
}

// throughJetStream does the same with a server in the process: see SCALE.md for its
// settings.
func throughJetStream(s spooled) error {
	srv, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: s.Dir, SyncAlways: true, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(30 * time.Second) {
		return errors.New("the server does not start")
	}
	connect := func(o ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
		c, err := natsgo.Connect("", natsgo.InProcessServer(srv))
		if err != nil {
			return nil, err
		}
		return jetstream.New(c, o...)
	}
	ctx := context.Background()
	js, err := connect(jetstream.WithPublishAsyncMaxPending(16)) // 4 MiB
	if err != nil {
		return err
	}
	st, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "s", Subjects: []string{"s"}, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: 1 << 30, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return err
	}
	made := make(chan error, 1)
	go func() {
		p := spoolFrameData()
		var err error
		for at := int64(0); err == nil && at < s.Bytes; at += spoolFrame {
			_, err = js.PublishAsync("s", p)
		}
		select {
		case <-js.PublishAsyncComplete():
		case <-time.After(time.Minute):
			err = errors.New("not all frames were acknowledged")
		}
		made <- err
	}()
	reads, err := connect()
	if err != nil {
		return err
	}
	c, err := reads.OrderedConsumer(ctx, "s", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	it, err := c.Messages(jetstream.PullMaxBytes(4 << 20))
	if err != nil {
		return err
	}
	defer it.Stop()
	for at, done := int64(0), int64(0); at < s.Bytes; {
		m, err := it.Next()
		if err != nil {
			return err
		}
		if at += int64(len(m.Data())); at-done >= spoolPace {
			done = at
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if err := st.Purge(ctx, jetstream.WithPurgeSequence(meta.Sequence.Stream)); err != nil {
				return err
			}
		}
	}
	return <-made
}

// BenchmarkScaleSpool compares the spool with JetStream and, though it keeps nothing
// durable, with mbuffer and a file: throughput, throughput per second of processor
// time, and memory.
//
//	go test -run '^$' -bench ScaleSpool -benchtime 3x .
func BenchmarkScaleSpool(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("memory and processor time are measured on Linux")
	}
	size := int64(256 << 20)
	base := spooled{How: "nothing"}
	spoolChild(b, &base)
	for _, how := range []string{"spool", "jetstream"} {
		b.Run(how, func(b *testing.B) {
			b.SetBytes(size)
			var cpu time.Duration
			var memory int64
			for range b.N {
				s := spooled{How: how, Dir: filepath.Join(b.TempDir(), "data"), Bytes: size}
				cpu += spoolChild(b, &s)
				memory = max(memory, s.Memory)
			}
			reportSpool(b, size, cpu, memory)
		})
	}
	b.Run("mbuffer", func(b *testing.B) {
		if _, err := exec.LookPath("mbuffer"); err != nil {
			b.Skip("mbuffer is not installed")
		}
		b.SetBytes(size)
		var cpu time.Duration
		var memory int64
		for range b.N {
			cmd := exec.Command("mbuffer", "-q", "-T", filepath.Join(b.TempDir(), "buffer"), "-m", "64M")
			in, err := cmd.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			go func() {
				defer in.Close()
				p := spoolFrameData()
				for at := int64(0); at < size; at += spoolFrame {
					if _, err := in.Write(p); err != nil {
						return
					}
				}
			}()
			n, err := io.Copy(io.Discard, io.LimitReader(out, size-1)) // it lives while a byte is left
			if err != nil || n != size-1 {
				b.Fatal(n, err)
			}
			peak, err := peakMemory(strconv.Itoa(cmd.Process.Pid))
			if err != nil {
				b.Fatal(err)
			}
			memory = max(memory, peak)
			io.Copy(io.Discard, out)
			if err := cmd.Wait(); err != nil {
				b.Fatal(err)
			}
			cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		}
		reportSpool(b, size, cpu, memory)
	})
	b.Logf("a process that does nothing has %d MiB resident", base.Memory>>20)
}

func reportSpool(b *testing.B, size int64, cpu time.Duration, memory int64) {
	b.ReportMetric(float64(size)*float64(b.N)/1e6/cpu.Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(memory)/(1<<20), "MiB-resident")
}

// spoolChild runs a child and returns the processor time that it took.
func spoolChild(b *testing.B, s *spooled) time.Duration {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), spoolEnv+"="+string(text))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, s)
	}
	if err != nil {
		b.Fatalf("%s: %v: %s", s.How, err, said.String())
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
