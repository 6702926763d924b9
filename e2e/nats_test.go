package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

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
		i, err := edge(t, url).Info(t.Context())
		fmt.Fprintf(os.Stderr, "%+v %v\n", i, err)
	}
}

var _ = errors.Is
var _ = io.EOF
var _ context.Context
var _ durable.Source
