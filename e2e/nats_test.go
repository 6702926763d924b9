package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/nats"
)

// natsServer starts a server in this process.
func natsServer(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// edgeOn returns the URL of an edge on s.
func edgeOn(s *server.Server, name string) string { return s.ClientURL() + "/" + name }

func edge(t testing.TB, url string) nats.Edge {
	t.Helper()
	e, err := nats.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEdge_CarriesAStreamInAnyStartOrder(t *testing.T) {
	s := natsServer(t, nil)
	data := random(20<<20 + 17)
	for _, first := range []string{"producer", "consumer"} {
		url := edgeOn(s, first)
		var got bytes.Buffer
		in, err := endpoint.Source(url, endpoint.SourceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := endpoint.Sink(url+"?max=64MiB", endpoint.SinkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		produce := weir.FromReader(bytes.NewReader(data)).To(out)
		consume := in.Stream().To(weir.ToWriter(&got))
		done := make(chan error, 1)
		if first == "producer" {
			if err := produce.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := consume.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			go func() { done <- consume.Run(t.Context()) }()
			if err := produce.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%s first: %d bytes arrived, want %d", first, got.Len(), len(data))
		}
	}
}

// state is what a server has about an edge.
func state(t testing.TB, url string) nats.Info {
	t.Helper()
	i, err := edge(t, url).Info(t.Context())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return i
}

// resident returns the resident memory of a process.
func resident(t testing.TB, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Skip(err)
	}
	var total, pages int64
	if _, err := fmt.Sscan(string(b), &total, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// noiseFile makes a file of noise.
func noiseFile(t testing.TB, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "in")
	f, err := os.Create(name)
	if err == nil {
		_, err = io.Copy(f, &noise{size, 11})
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// consume reads an edge into a file with a durable flow.
func consume(ctx context.Context, e nats.Edge, name string) error {
	return durable.Flow(e.Source(), durable.File(name, 0o666), durable.Options{}).Run(ctx)
}

func sameFiles(t testing.TB, got, want string) {
	t.Helper()
	n, sum := sumOf(t, got)
	m, wantSum := sumOf(t, want)
	if n != m || sum != wantSum {
		t.Errorf("%d bytes with sum %x, want %d with %x", n, sum, m, wantSum)
	}
}

func TestEdge_HoldsNoMoreThanItsMaxWhileTheConsumerSleeps(t *testing.T) {
	s := natsServer(t, nil)
	url, in := edgeOn(s, "logs"), noiseFile(t, 160<<20)
	c, said := start(t, "produce "+in+" "+url+"?max=64MiB")
	defer func() { c.Process.Kill(); c.Wait() }()
	const most = 64 << 20
	waitFor(t, func() bool { return state(t, url).Held > most-1<<20 })
	before := resident(t, c.Process.Pid)
	for range 20 { // the consumer sleeps
		if i := state(t, url); i.Held > most || i.Max != most {
			t.Fatalf("%d of %d bytes are held", i.Held, i.Max)
		}
		time.Sleep(50 * time.Millisecond)
	}
	after := resident(t, c.Process.Pid)
	t.Logf("the producer has %d MiB resident, then %d MiB", before>>20, after>>20)
	if after > 64<<20 || after > before+8<<20 {
		t.Errorf("the producer has %d MiB resident, and had %d MiB", after>>20, before>>20)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := consume(t.Context(), edge(t, url), out); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	sameFiles(t, out, in)
}

// A producer that stood still while another one did its work, as a virtual machine
// can, must not write any more.
func TestEdge_ShutsOutAZombieProducer(t *testing.T) {
	s := natsServer(t, nil)
	url, in := edgeOn(s, "logs"), noiseFile(t, 100<<20)
	zombie, said := start(t, "produce "+in+" "+url+"?max=64MiB")
	defer func() { zombie.Process.Kill(); zombie.Wait() }()
	waitFor(t, func() bool { return state(t, url).Held > 20<<20 })
	zombie.Process.Signal(syscall.SIGSTOP)
	second, alsoSaid := start(t, "produce "+in+" "+url)
	out := filepath.Join(t.TempDir(), "out")
	if err := consume(t.Context(), edge(t, url), out); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Fatalf("%v: %s", err, alsoSaid)
	}
	was := state(t, url)
	zombie.Process.Signal(syscall.SIGCONT)
	if err := zombie.Wait(); err == nil || !strings.Contains(said.String(), "a newer one has taken over") {
		t.Errorf("the zombie ended with %v and said %q", err, said)
	}
	if now := state(t, url); now.Written != was.Written || !now.Ended {
		t.Errorf("the zombie has written: %+v, before %+v", now, was)
	}
	sameFiles(t, out, in)
}

// A producer that is running learns that there is a newer one.
func TestEdge_ReplacesARunningProducer(t *testing.T) {
	s := natsServer(t, nil)
	e := edge(t, edgeOn(s, "logs"))
	old, newer := e.Sink(), e.Sink()
	if _, err := old.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	part := random(1 << 20)
	if _, err := old.Write(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if err := old.Save(t.Context(), durable.Checkpoint{From: "x", Source: durable.Position{Version: "v", Offset: 1 << 20}, Offset: 1 << 20, Sum: streamSum(part)}); err != nil {
		t.Fatal(err)
	}
	c, err := newer.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer newer.Close()
	if c.Offset != 1<<20 || c.Source.Version != "v" || c.Sum != streamSum(part) {
		t.Errorf("the newer one continues at %+v", c)
	}
	var failed error
	for range 1000 {
		if _, failed = old.Write(t.Context(), part); failed != nil {
			break
		}
	}
	if !errors.Is(failed, durable.ErrInUse) {
		t.Errorf("the older one gets %v", failed)
	}
}

// streamSum returns the sum of a stream, as a durable.Checkpoint has it.
func streamSum(b []byte) uint64 {
	return uint64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))<<32 | uint64(crc32.ChecksumIEEE(b))
}

func TestEdge_ReplacesARunningConsumer(t *testing.T) {
	s := natsServer(t, nil)
	url := edgeOn(s, "logs")
	if err := produce(t, url, random(3<<20)); err != nil {
		t.Fatal(err)
	}
	src := edge(t, url).Source()
	version, err := src.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old, err := src.Open(t.Context(), durable.Position{Version: version})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := io.ReadFull(old, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	newer, err := edge(t, url).Source().Open(t.Context(), durable.Position{Version: version, Offset: 77})
	if err != nil {
		t.Fatal(err)
	}
	defer newer.Close()
	if rest, err := io.ReadAll(newer); err != nil || !bytes.Equal(rest, random(3 << 20)[77:]) {
		t.Errorf("the newer one reads %d bytes, %v", len(rest), err)
	}
	// What the older one has received already it can pass on.
	if _, err := io.Copy(io.Discard, old); err != nil && !errors.Is(err, durable.ErrInUse) {
		t.Errorf("the older one gets %v", err)
	}
	if _, err := src.Open(t.Context(), durable.Position{Version: "other"}); !errors.Is(err, endpoint.ErrChanged) {
		t.Errorf("another version: %v", err)
	}
}

// produce writes data to an edge with a flow that does not resume.
func produce(t testing.TB, url string, data []byte) error {
	t.Helper()
	out, err := endpoint.Sink(url, endpoint.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return weir.FromReader(bytes.NewReader(data)).To(out).Run(t.Context())
}

func TestEdge_RefusesStreamsThatAreNoEdges(t *testing.T) {
	s := natsServer(t, nil)
	nc, err := natsgo.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "foreign", Subjects: []string{"foreign"}}); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, edgeOn(s, "changed"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), "changed")
	if err != nil {
		t.Fatal(err)
	}
	c := st.CachedInfo().Config
	c.MaxAge, c.Discard = time.Hour, jetstream.DiscardOld
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, edgeOn(s, "fine"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	for url, says := range map[string]string{
		edgeOn(s, "foreign"):            "another program made the stream",
		edgeOn(s, "changed"):            "discard is old, not new, max_age is 1h0m0s, not unlimited",
		edgeOn(s, "fine") + "?max=2GiB": "max is 1 GiB, not 2 GiB",
	} {
		err := produce(t, url, []byte("x"))
		if !errors.Is(err, nats.ErrNotAnEdge) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: sink: %v", url, err)
		}
		err = consume(t.Context(), edge(t, url), filepath.Join(t.TempDir(), "out"))
		if !errors.Is(err, nats.ErrNotAnEdge) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: source: %v", url, err)
		}
	}
	if err := edge(t, edgeOn(s, "foreign")).Drop(t.Context()); !errors.Is(err, nats.ErrNotAnEdge) {
		t.Errorf("drop of a stream that is no edge: %v", err)
	}
	list, err := nats.List(t.Context(), s.ClientURL())
	if err != nil || len(list) != 2 || list[0].Name != "changed" || list[0].Err == "" || list[1].Name != "fine" || list[1].Err != "" {
		t.Errorf("the list is %+v, %v", list, err)
	}
	if err := edge(t, edgeOn(s, "changed")).Drop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := edge(t, edgeOn(s, "changed")).Drop(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("drop of what is not there: %v", err)
	}
}

func TestEdge_RefusesAnOldServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "INFO {\"server_id\":\"x\",\"version\":\"2.13.9\",\"headers\":true,\"max_payload\":1048576}\r\n")
			for lines := bufio.NewScanner(c); lines.Scan(); {
				if lines.Text() == "PING" {
					fmt.Fprint(c, "PONG\r\n")
				}
			}
			c.Close()
		}
	}()
	_, err = edge(t, "nats://"+l.Addr().String()+"/logs").Info(t.Context())
	if err == nil || !strings.Contains(err.Error(), "version 2.13.9; version 2.14 or newer is needed") {
		t.Error(err)
	}
}

func TestEdge_TellsWhatIsWrongWithTheServer(t *testing.T) {
	withoutJetStream := natsServer(t, func(o *server.Options) { o.JetStream = false })
	locked := natsServer(t, func(o *server.Options) { o.Username, o.Password = "me", "secret" })
	at := locked.Addr().String()
	for url, says := range map[string]string{
		edgeOn(withoutJetStream, "logs"):        "start nats-server with -js",
		"nats://" + at + "/logs":                "set NATS_CREDS",
		"nats://me:hidden@" + at + "/logs":      "set NATS_CREDS",
		"nats://127.0.0.1:1/logs":               "connection refused",
		"nats://me:secret@" + at + "/logs":      "",
		"nats://no-such-host.invalid:4222/logs": "no-such-host.invalid",
	} {
		err := produce(t, url, []byte("x"))
		if says == "" != (err == nil) || err != nil && (!strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%s: %v", url, err)
		}
	}
	t.Setenv("NATS_USER", "me")
	t.Setenv("NATS_PASSWORD", "secret")
	if _, err := edge(t, "nats://"+at+"/logs").Info(t.Context()); err != nil {
		t.Errorf("with the variables: %v", err)
	}
}

func TestEdge_GivesUpAServerThatStaysAway(t *testing.T) {
	s := natsServer(t, nil)
	url := edgeOn(s, "logs")
	r, w := io.Pipe()
	out, err := endpoint.Sink(url+"?stall=5s", endpoint.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- weir.FromReader(r).To(out).Run(t.Context()) }()
	go func() {
		ended <- consume(t.Context(), edge(t, url+"?stall=5s"), filepath.Join(t.TempDir(), "out"))
	}()
	go io.Copy(w, &noise{1 << 20, 3})
	waitFor(t, func() bool { return state(t, url).Reading && state(t, url).Written > 0 })
	s.Shutdown()
	go io.Copy(w, &noise{100 << 20, 3})
	for range 2 {
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "the server has been away for 5s") && !strings.Contains(err.Error(), "the server has not answered for 5s") {
			t.Error(err)
		}
	}
	r.Close()
}

func TestEdge_ThatIsDroppedEndsBothSides(t *testing.T) {
	s := natsServer(t, nil)
	url := edgeOn(s, "logs")
	r, w := io.Pipe()
	out, err := endpoint.Sink(url, endpoint.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- weir.FromReader(r).To(out).Run(t.Context()) }()
	go func() { ended <- consume(t.Context(), edge(t, url), filepath.Join(t.TempDir(), "out")) }()
	go io.Copy(w, &noise{1 << 20, 3})
	waitFor(t, func() bool { return state(t, url).Reading && state(t, url).Written > 0 })
	if err := edge(t, url).Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	go io.Copy(w, &noise{100 << 20, 3})
	for range 2 {
		if err := <-ended; !errors.Is(err, endpoint.ErrChanged) {
			t.Error(err)
		}
	}
	r.Close()
}

// A flow that does not resume refuses what an earlier one has left.
func TestEdge_PlainFlowsContinueNothing(t *testing.T) {
	s := natsServer(t, nil)
	url := edgeOn(s, "logs")
	broken := io.MultiReader(bytes.NewReader(random(20<<20)), iotest.ErrReader(errors.New("the disk is broken")))
	out, err := endpoint.Sink(url, endpoint.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := weir.FromReader(broken).To(out).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the disk is broken") {
		t.Fatal(err)
	}
	if i := state(t, url); i.Ended || i.Written == 0 {
		t.Errorf("after a failure the edge is %+v", i)
	}
	if err := produce(t, url, []byte("other")); err == nil || !strings.Contains(err.Error(), "part of another stream") {
		t.Errorf("a second producer gets %v", err)
	}
	in, err := endpoint.Source(url, endpoint.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	read := int64(0)
	err = in.Stream().To(weir.EachBatch(func(_ context.Context, b []byte) error {
		if read += int64(len(b)); read > 15<<20 {
			cancel()
		}
		return nil
	})).Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := in.Stream().To(weir.Discard[byte]()).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "has freed it") {
		t.Errorf("a second consumer gets %v", err)
	}
}

// While the edge is full, a plain sink waits in Write, or for a last part at the end.
func TestEdge_PlainSinkThatWaitsEndsWithItsFlow(t *testing.T) {
	s := natsServer(t, nil)
	for name, size := range map[string]int{"write": 80 << 20, "end": 66 << 20} {
		t.Run(name, func(t *testing.T) {
			url := edgeOn(s, name) + "?max=64MiB"
			out, err := endpoint.Sink(url, endpoint.SinkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- weir.FromReader(bytes.NewReader(random(size))).To(out).Run(ctx) }()
			waitFor(t, func() bool { return state(t, url).Held > 62<<20 })
			select {
			case err := <-ended:
				t.Fatalf("it did not wait: %v", err)
			default:
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if state(t, url).Ended {
				t.Error("the edge has an end")
			}
		})
	}
}
