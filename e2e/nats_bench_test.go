package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// BenchmarkScaleNATS moves 512 MiB from memory through an edge of 64 MiB and drops
// it, beside a plain publisher and consumer with the same settings: the same frames
// and windows, an expected sequence number for each frame, and purges every 8 MiB. The
// server is another process, and syncs always. cpu-s is the processor time of both
// ends, without the server.
func BenchmarkScaleNATS(b *testing.B) {
	const size = 512 << 20
	port := freePort(b)
	s, _ := start(b, fmt.Sprintf("server %s %d", b.TempDir(), port))
	b.Cleanup(func() { s.Process.Kill(); s.Wait() })
	for !canConnect(port) {
		time.Sleep(10 * time.Millisecond)
	}
	host := fmt.Sprintf("nats://127.0.0.1:%d", port)
	for _, way := range []struct {
		name string
		run  func(b *testing.B, host, name string, size int64)
	}{{"weir", throughEdge}, {"plain", publishAndConsume}} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(size)
			begin := processorTime()
			n := 0
			for b.Loop() {
				way.run(b, host, fmt.Sprintf("%s%d", way.name, n), size)
				n++
			}
			b.ReportMetric((processorTime()-begin).Seconds()/float64(n), "cpu-s")
		})
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// zeros is a stream that costs nothing to make.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), z.n)]
	z.n -= int64(len(p))
	return len(p), nil
}

func throughEdge(b *testing.B, host, name string, size int64) {
	out, err := endpoint.Sink(host+"/"+name+"?max=64MiB", endpoint.SinkOptions{})
	if err != nil {
		b.Fatal(err)
	}
	in, err := endpoint.Source(host+"/"+name, endpoint.SourceOptions{})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- in.Stream().To(weir.Discard[byte]()).Run(b.Context()) }()
	if err := weir.FromReader(&zeros{size}).To(out).Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	edge(b, host+"/"+name).Drop(b.Context())
}

// publishAndConsume is what a careful program does without weir, but without sums,
// resuming and errors that pass.
func publishAndConsume(b *testing.B, host, name string, size int64) {
	connect := func() (*natsgo.Conn, jetstream.JetStream) {
		nc, err := natsgo.Connect(host)
		if err != nil {
			b.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			b.Fatal(err)
		}
		return nc, js
	}
	nc, js := connect()
	defer nc.Close()
	nc2, js2 := connect()
	defer nc2.Close()
	st, err := js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: name, Subjects: []string{name}, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage, MaxBytes: 64 << 20,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer js.DeleteStream(b.Context(), name)
	const frame, window = 256 << 10, 16
	frames := int(size / frame)
	done := make(chan error, 1)
	go func() {
		c, err := js2.OrderedConsumer(b.Context(), name, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
		if err != nil {
			done <- err
			return
		}
		m, err := c.Messages(jetstream.PullMaxBytes(4 << 20))
		if err != nil {
			done <- err
			return
		}
		defer m.Stop()
		for i := range frames {
			msg, err := m.Next()
			if err != nil {
				done <- err
				return
			}
			meta, err := msg.Metadata()
			if err == nil && i%32 == 31 {
				err = st.Purge(b.Context(), jetstream.WithPurgeSequence(meta.Sequence.Stream))
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	answers := make(chan *natsgo.Msg, 1024)
	inbox := natsgo.NewInbox()
	if _, err := nc.ChanSubscribe(inbox, answers); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, frame)
	stored, sent := 0, 0
	for stored < frames {
		for sent < frames && sent-stored < window {
			h := natsgo.Header{jetstream.ExpectedLastSeqHeader: {fmt.Sprint(sent)}}
			if err := nc.PublishMsg(&natsgo.Msg{Subject: name, Reply: inbox, Header: h, Data: data}); err != nil {
				b.Fatal(err)
			}
			sent++
		}
		var a struct {
			Error *jetstream.APIError
			Seq   int
		}
		if err := json.Unmarshal((<-answers).Data, &a); err != nil {
			b.Fatal(err)
		}
		if a.Error == nil {
			stored = a.Seq
			continue
		}
		for waited := sent - stored - 1; waited > 0; waited-- { // those behind were refused, too
			<-answers
		}
		sent = stored
		time.Sleep(time.Millisecond)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
