package nats

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
)

func TestParse_ReadsURLs(t *testing.T) {
	for url, want := range map[string]Edge{
		"nats://host/logs":                   {Name: "logs", Host: "host"},
		"nats://host:4333/a-b_c":             {Name: "a-b_c", Host: "host:4333"},
		"TLS://[::1]:4222/logs?max=64MiB":    {Name: "logs", Host: "[::1]:4222", TLS: true, Max: 64 << 20},
		"nats://host/logs?stall=5m&max=2GiB": {Name: "logs", Host: "host", Max: 2 << 30, Stall: 5 * time.Minute},
		"nats://host/logs?stall=0":           {Name: "logs", Host: "host", Stall: -1},
	} {
		if !IsEdge(url) {
			t.Errorf("%s is no edge", url)
		}
		if e, err := Parse(url); err != nil || e != want {
			t.Errorf("%s: %+v, %v; want %+v", url, e, err, want)
		}
	}
	e, err := Parse("nats://me:hidden@host/logs")
	if err != nil || e.User.Username() != "me" || strings.Contains(e.String(), "hidden") {
		t.Errorf("%v, %v", e, err)
	}
}

func TestParse_RefusesWrongURLsWithoutTheirSecrets(t *testing.T) {
	for url, says := range map[string]string{
		"logs":                            "invalid URL",
		"http://host/logs":                "invalid URL",
		"nats://host":                     "missing name",
		"nats:///logs":                    "missing host",
		"nats://:4222/logs":               "missing host",
		"nats://host/a/b":                 "invalid name",
		"nats://host/a.b":                 "invalid name",
		"nats://host/*":                   "invalid name",
		"nats://host/x?max=1MiB":          "64 MiB or more",
		"nats://host/x?max=much":          "1GiB",
		"nats://host/x?stall=5":           "5m",
		"nats://host/x?foo=1":             "use max or stall",
		"nats://host/x#y":                 "leave it out",
		"nats://me:hidden@host/a.b":       "invalid name",
		"nats://me:hid den@host/a":        "invalid URL",
		"nats://me:hidden@host/x?max=one": "1GiB",
	} {
		_, err := Parse(url)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hid") {
			t.Errorf("%s: %v", url, err)
		}
		if !IsEdge(url) {
			continue
		}
		if _, err := endpoint.Sink(url, endpoint.SinkOptions{}); err == nil || strings.Contains(err.Error(), "hid") {
			t.Errorf("sink of %s: %v", url, err)
		}
		if _, err := endpoint.Source(url, endpoint.SourceOptions{}); err == nil || strings.Contains(err.Error(), "hid") {
			t.Errorf("source of %s: %v", url, err)
		}
	}
	if _, err := endpoint.Source("nats://host/x", endpoint.SourceOptions{Offset: 1}); err == nil {
		t.Error("a plain source begins at an offset")
	}
}

func TestNewEnough_RefusesOldServers(t *testing.T) {
	for version, ok := range map[string]bool{"2.14.0": true, "2.15.3": true, "3.0.0-beta": true, "v2.14.1": true, "2.13.9": false, "2.9.25": false, "1.4.1": false, "": false, "new": false} {
		if err := newEnough(version); (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestVet_NamesEachSettingThatDiffers(t *testing.T) {
	e := Edge{Name: "logs", Host: "host"}
	if err := e.vet(e.config()); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*jetstream.StreamConfig){
		"another program":      func(c *jetstream.StreamConfig) { c.Metadata = nil },
		"subjects is x":        func(c *jetstream.StreamConfig) { c.Subjects = []string{"x"} },
		"retention is":         func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		"discard is old":       func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"storage is memory":    func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"max_msgs is 5":        func(c *jetstream.StreamConfig) { c.MaxMsgs = 5 },
		"max_age is 1s":        func(c *jetstream.StreamConfig) { c.MaxAge = time.Second },
		"no_ack":               func(c *jetstream.StreamConfig) { c.NoAck = true },
		"sealed":               func(c *jetstream.StreamConfig) { c.Sealed = true },
		"deny_purge":           func(c *jetstream.StreamConfig) { c.DenyPurge = true },
		"persist_mode":         func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode },
		"sources":              func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{Name: "x"} },
		"max_bytes is 1 MiB":   func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
		"max_msg_size":         func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 },
		"max_msgs_per_subject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
	} {
		c := e.config()
		change(&c)
		if err := e.vet(c); !errors.Is(err, ErrNotAnEdge) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if err := (Edge{Name: "logs", Max: 64 << 20}).vet(e.config()); err == nil || !strings.Contains(err.Error(), "max is 1 GiB, not 64 MiB") {
		t.Error(err)
	}
}

func TestCheckpoint_FitsIntoAHeader(t *testing.T) {
	c := durable.Checkpoint{From: "日志\n\r😀 \"x\"", Source: durable.Position{Version: "v", Offset: 7}, Offset: 9, Sum: 1<<64 - 1}
	text, err := checkpointText(c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q cannot be in a header", text)
	}
	f := &frame{Offset: 9, checkpoint: text}
	if got, err := f.checkpointOf(); err != nil || got.From != c.From || got.Sum != c.Sum || got.Offset != 9 {
		t.Errorf("%+v, %v", got, err)
	}
	f.Offset = 8
	if _, err := f.checkpointOf(); err == nil {
		t.Error("a checkpoint is behind its frame")
	}
	c.Point.State = make([]byte, headerRoom)
	if _, err := checkpointText(c); err == nil {
		t.Error("a checkpoint is larger than a header")
	}
}

// chain makes the frames of a stream: one for each part, and the end.
func chain(parts ...string) (list []*frame) {
	var offset int64
	var sum uint64
	add := func(b []byte) *frame {
		f := &frame{Offset: offset, Sum: sum, CRC: crc32.Checksum(b, frameSums), data: b}
		offset, sum = f.end(), f.sumAtEnd()
		list = append(list, f)
		return f
	}
	for _, p := range parts {
		add([]byte(p))
	}
	end := add(nil)
	end.End = true
	end.checkpoint, _ = checkpointText(durable.Checkpoint{Offset: offset, Sum: sum, End: true})
	return list
}

// readAll reads frames as if they came from a server, from offset at on.
func readAll(frames []*frame, at int64) (string, error) {
	r := &reader{at: at}
	var got bytes.Buffer
	for _, f := range frames {
		h, err := f.header()
		if err != nil {
			return "", err
		}
		f, err := parseFrame(h, f.data)
		if err == nil {
			err = r.accept(f)
		}
		got.Write(r.rest)
		r.at += int64(len(r.rest))
		r.rest = nil
		if err != nil {
			return got.String(), err
		}
	}
	return got.String(), errors.New("no end")
}

func TestReader_AcceptsOnlyAStreamWithoutGaps(t *testing.T) {
	good := func() []*frame { return chain("hello ", "", "edge", "!") }
	for at, want := range []string{"hello edge!", "ello edge!", "llo edge!"} {
		if got, err := readAll(good(), int64(at)); got != want || err != io.EOF {
			t.Errorf("from %d: %q, %v", at, got, err)
		}
	}
	for name, spoil := range map[string]func([]*frame) []*frame{
		"a frame is missing":  func(f []*frame) []*frame { return append(f[:2:2], f[3:]...) },
		"a frame comes twice": func(f []*frame) []*frame { return append(f[:1:1], f...) },
		"a byte is wrong":     func(f []*frame) []*frame { f[2].data = []byte("edgy"); return f },
		"a byte and its CRC": func(f []*frame) []*frame {
			f[2].data = []byte("edgy")
			f[2].CRC = crc32.Checksum(f[2].data, frameSums)
			return f
		},
		"the end is too early":   func(f []*frame) []*frame { f[2].End = true; return f[:3] },
		"the length is wrong":    func(f []*frame) []*frame { f[4].checkpoint = f[4].checkpoint[:0]; return f },
		"the beginning is later": func(f []*frame) []*frame { return f[2:] },
	} {
		if got, err := readAll(spoil(good()), 0); err == nil || err == io.EOF || !strings.HasPrefix("hello edge!", got) && !strings.HasPrefix("hello edgy", got) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestWaits_NamesWhatWasWaitedForMost(t *testing.T) {
	w := newWaits(Edge{Name: "logs"})
	if got := w.Peer(); got != "the other side of logs" {
		t.Errorf("at the beginning: %q", got)
	}
	w.server.Add(2)
	if got := w.Peer(); got != "the server of logs" {
		t.Errorf("after waiting for the server: %q", got)
	}
	w.peer.Add(3)
	if got := w.Peer(); got != "the other side of logs" {
		t.Errorf("after waiting for the other side: %q", got)
	}
}
