package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	abortAfter  = 256 << 10 // bytes that a client of loadAbort takes before it leaves
	abortAtOnce = 50        // clients of loadAbort at the same time
)

// traffic counts the progress of the clients of one side.
type traffic struct {
	moved atomic.Int64 // bytes of bodies that clients have taken or sent
	whole atomic.Int64 // clients whose body was complete

	mu    sync.Mutex
	first []time.Duration // from the request to the first byte of the body
	err   error           // the first that came before a client's time was over
}

// A load is the way in which the parent uses the server of a side.
type load int

const (
	loadNone     load = iota // the side has no server, and makes its data itself
	loadDownload             // slow clients read a file
	loadUpload               // fast clients send to a slow disk
	loadAbort                // clients leave in the middle of a file
)

// atOnce returns how many clients there are at a time.
func (l load) atOnce(s Settings) int {
	if l == loadAbort {
		return min(s.Clients, abortAtOnce)
	}
	return s.Clients
}

// firstByte records when a client got its first byte.
func (t *traffic) firstByte(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first = append(t.first, d)
}

// fail records why a client failed.
func (t *traffic) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
}

// firsts returns the median and the longest time to a first byte, or zeros.
func (t *traffic) firsts() (median, longest time.Duration, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.first) == 0 {
		return 0, 0, 0
	}
	slices.Sort(t.first)
	return t.first[len(t.first)/2], t.first[len(t.first)-1], len(t.first)
}

// run lets the clients of an experiment work until all have finished or ctx ends.
func (t *traffic) run(ctx context.Context, l load, s Settings, addr string) {
	one := t.download
	switch l {
	case loadUpload:
		one = t.upload
	case loadAbort:
		one = t.leave
	}
	var left atomic.Int64
	left.Store(int64(s.Clients))
	var clients sync.WaitGroup
	for range l.atOnce(s) {
		clients.Go(func() {
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				if err := one(ctx, s, addr); err != nil && ctx.Err() == nil {
					t.fail(err)
				}
			}
		})
	}
	clients.Wait()
}

// dial connects a client. Its connection breaks when ctx ends.
func dial(ctx context.Context, addr string, room int) (*net.TCPConn, func(), error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	c := nc.(*net.TCPConn)
	// Without this the kernel lends a slow client up to 6 MiB.
	if err := c.SetReadBuffer(room); err != nil {
		c.Close()
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return c, func() { stop(); c.Close() }, nil
}

// get asks for the file and returns the body of the answer, and when the request
// was sent.
func get(c *net.TCPConn, addr string, buffer int) (io.ReadCloser, int64, time.Time, error) {
	began := time.Now()
	if _, err := fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", fileName, addr); err != nil {
		return nil, 0, began, err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, buffer), nil)
	if err != nil {
		return nil, 0, began, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, 0, began, fmt.Errorf("answer %s", resp.Status)
	}
	return resp.Body, resp.ContentLength, began, nil
}

// pieceOf returns how much a client of this rate takes at a time.
func pieceOf(perSecond int64) int { return int(min(max(perSecond/16, 512), chunkSize)) }

// download takes a file at the client's rate.
func (t *traffic) download(ctx context.Context, s Settings, addr string) error {
	piece := pieceOf(s.Rate)
	c, done, err := dial(ctx, addr, int(min(max(s.Rate/8, 16<<10), 1<<20)))
	if err != nil {
		return err
	}
	defer done()
	body, _, began, err := get(c, addr, min(piece, 4<<10))
	if err != nil {
		return err
	}
	defer body.Close()
	limit := rate.NewLimiter(rate.Limit(s.Rate), piece)
	buf := make([]byte, piece)
	var got int64
	for {
		n, err := body.Read(buf)
		if n > 0 && got == 0 {
			t.firstByte(time.Since(began))
		}
		got += int64(n)
		t.moved.Add(int64(n))
		if got >= s.Size { // some of the tutorial's servers never end their answer
			t.whole.Add(1)
			return nil
		}
		if err != nil {
			return fmt.Errorf("answer ended after %s of %s: %w", bytes(got), bytes(s.Size), err)
		}
		if limit.WaitN(ctx, n) != nil { // ctx ends before the next piece is due
			<-ctx.Done()
			return nil
		}
	}
}

// leave takes the beginning of a file and breaks the connection.
func (t *traffic) leave(ctx context.Context, s Settings, addr string) error {
	c, done, err := dial(ctx, addr, chunkSize)
	if err != nil {
		return err
	}
	defer done()
	body, _, began, err := get(c, addr, 4<<10)
	if err != nil {
		return err
	}
	buf := make([]byte, 16<<10)
	for got := int64(0); got < min(abortAfter, s.Size); {
		n, err := body.Read(buf)
		if n > 0 && got == 0 {
			t.firstByte(time.Since(began))
		}
		got += int64(n)
		t.moved.Add(int64(n))
		if err != nil {
			return err
		}
	}
	return c.SetLinger(0) // the server gets a reset, as from a killed browser
}

// upload sends Size bytes as fast as the server takes them.
func (t *traffic) upload(ctx context.Context, s Settings, addr string) error {
	c, done, err := dial(ctx, addr, chunkSize)
	if err != nil {
		return err
	}
	defer done()
	if _, err := fmt.Fprintf(c, "POST /upload HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", addr, s.Size); err != nil {
		return err
	}
	buf := make([]byte, chunkSize)
	for left := s.Size; left > 0; {
		n, err := c.Write(buf[:min(int64(len(buf)), left)])
		left -= int64(n)
		t.moved.Add(int64(n))
		if err != nil {
			return err
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", resp.Status)
	}
	t.whole.Add(1)
	return nil
}
