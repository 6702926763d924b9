package weirhttp

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// The frames of HTTP/2 that are needed here (RFC 9113, section 6).
const (
	h2Data, h2Headers, h2Settings, h2Ping, h2GoAway, h2Window = 0, 1, 4, 6, 7, 8

	h2Ack, h2EndHeaders = 1, 4
	h2InitialWindow     = 4 // a setting
)

// h2Client is a client of HTTP/2 that sends whatever its server lets it send.
type h2Client struct {
	t *testing.T
	net.Conn
	stream int // the window of each stream at first
	conn   int // that of the connection, now
	more   map[uint32]int
}

func newH2Client(t *testing.T, s *site) *h2Client {
	t.Helper()
	c := tls.Client(s.dial(t, 0), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	h := &h2Client{t: t, Conn: c, stream: 65535, conn: 65535, more: map[uint32]int{}}
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	h.send(h2Settings, 0, 0, nil)
	return h
}

func (h *h2Client) send(kind, flags byte, stream uint32, body []byte) {
	h.t.Helper()
	head := binary.BigEndian.AppendUint32(nil, uint32(len(body))<<8|uint32(kind))
	head = binary.BigEndian.AppendUint32(append(head, flags), stream)
	if _, err := h.Write(append(head, body...)); err != nil {
		h.t.Fatal(err)
	}
}

// post begins a request whose body has no end.
func (h *h2Client) post(stream uint32) {
	h.t.Helper()
	// Of HPACK: POST, https, and / are in its table, the host is a literal.
	h.send(h2Headers, h2EndHeaders, stream, []byte("\x83\x87\x84\x41\x01x"))
}

// hear takes in what the server has said until it answers a ping.
func (h *h2Client) hear() {
	h.t.Helper()
	h.send(h2Ping, 0, 0, make([]byte, 8))
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(h, head); err != nil {
			h.t.Fatal(err)
		}
		body := make([]byte, binary.BigEndian.Uint32(head)>>8)
		if _, err := io.ReadFull(h, body); err != nil {
			h.t.Fatal(err)
		}
		stream := binary.BigEndian.Uint32(head[5:])
		switch kind, flags := head[3], head[4]; {
		case kind == h2Ping && flags&h2Ack != 0:
			return
		case kind == h2Settings && flags&h2Ack == 0:
			for ; len(body) >= 6; body = body[6:] {
				if binary.BigEndian.Uint16(body) == h2InitialWindow {
					h.stream = int(binary.BigEndian.Uint32(body[2:]))
				}
			}
			h.send(h2Settings, h2Ack, 0, nil)
		case kind == h2Window && stream == 0:
			h.conn += int(binary.BigEndian.Uint32(body))
		case kind == h2Window:
			h.more[stream] += int(binary.BigEndian.Uint32(body))
		case kind == h2GoAway:
			h.t.Fatalf("the server goes away: %q", body)
		}
	}
}

// TestBounds_WhatAHandlerDoesNotReadIsBounded has several requests on one connection, and
// as much of their bodies as the server lets come.
func TestBounds_WhatAHandlerDoesNotReadIsBounded(t *testing.T) {
	const most = 256<<10 + 64<<10 // and what a connection begins with
	end := make(chan struct{})
	s := guarded(t, &Guard{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}), withTLS)
	h := newH2Client(t, s)
	streams := []uint32{1, 3, 5, 7, 9}
	for _, id := range streams {
		h.post(id)
	}
	piece := make([]byte, 16<<10)
	sent, of := 0, map[uint32]int{}
	for grew := true; grew && sent <= 8<<20; {
		h.hear()
		grew = false
		for _, id := range streams {
			for {
				n := min(len(piece), h.conn, h.stream+h.more[id]-of[id])
				if n <= 0 {
					break
				}
				h.send(h2Data, 0, id, piece[:n])
				h.conn -= n
				of[id] += n
				sent += n
				grew = true
			}
		}
	}
	if sent > most {
		t.Errorf("%d bytes may come that nobody reads", sent)
	}
	for id, n := range of {
		if n > 128<<10 {
			t.Errorf("%d bytes of them on stream %d", n, id)
		}
	}
	if sent < 64<<10 {
		t.Errorf("only %d bytes may come", sent)
	}
	close(end)
}

func TestBounds_HeaderThatDoesNotEndIsRefused(t *testing.T) {
	atOnce(t)
	s := guarded(t, &Guard{}, bigAndStream(t, 1))
	c := s.dial(t, 0)
	heard := make(chan string, 1)
	go func() {
		b, err := io.ReadAll(c)
		if err != nil && !isReset(err) {
			t.Error(err)
		}
		heard <- string(b)
	}()
	// It ends in fact, at twice of what is allowed, so that another server would
	// answer.
	_, _ = io.WriteString(c, "GET /absent HTTP/1.1\r\nHost: x\r\n") // what goes wrong shows in the answer
	for range 128 {
		_, _ = io.WriteString(c, "X: "+strings.Repeat("x", 1<<10)+"\r\n")
	}
	_, _ = io.WriteString(c, "\r\n")
	if got := <-heard; !strings.HasPrefix(got, "HTTP/1.1 431 ") || !strings.Contains(got, "\r\nConnection: close\r\n") {
		t.Errorf("%q", got)
	}

	two := guarded(t, &Guard{}, bigAndStream(t, 1), withTLS)
	req, err := http.NewRequest("GET", two.url("/absent"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X", strings.Repeat("x", 128<<10))
	if resp, err := browser(t).Do(req); err == nil { // a client that knows the limit does not even ask
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s %s", resp.Proto, resp.Status)
		}
	}
}
