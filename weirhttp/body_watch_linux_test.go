package weirhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

func TestBody_ClientThatLeavesIsNoticedWhileThereIsNoRoomForItsBody(t *testing.T) {
	atOnce(t)
	for _, tt := range []struct {
		name   string
		linger int
		length int
		want   error
	}{
		{name: "it ends", linger: -1, length: 10 << 20, want: io.ErrUnexpectedEOF},
		{name: "it is reset", linger: 0, length: 10 << 20, want: syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			busy, ended := make(chan struct{}), make(chan error, 1)
			s := guarded(t, new(Guard), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first := true
				ended <- Body(w, r, BodyOptions{Limit: weir.Bytes(64 << 10)}).To(weir.EachBatch(func(ctx context.Context, _ []byte) error {
					if first {
						first = false
						close(busy)
					}
					<-ctx.Done() // and nothing is read
					return context.Cause(ctx)
				})).Run(context.WithoutCancel(r.Context()))
			}))
			c := s.dial(t, 0)
			header, body := fmt.Sprintf("Content-Length: %d\r\n\r\n", tt.length), make([]byte, 110<<10)
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n"+header)
			c.Write(body) // more than there is room for, and no more than a window
			<-busy
			c.(*net.TCPConn).SetLinger(tt.linger)
			c.Close()
			if err := <-ended; !errors.Is(err, tt.want) || BodyStatus(err) != http.StatusBadRequest {
				t.Errorf("the flow ended with %v, %d", err, BodyStatus(err))
			}
		})
	}
}

func TestBody_ClientThatHasSentAllMayEndItsSide(t *testing.T) {
	atOnce(t)
	const length = 512 << 10
	got := make(chan int, 1)
	s := guarded(t, new(Guard), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		err := Body(w, r, BodyOptions{Limit: weir.Bytes(64 << 10)}).To(weir.EachBatch(func(ctx context.Context, b []byte) error {
			if n == 0 {
				select {
				case <-time.After(4 * bodyWatch): // for some looks at a connection that is not read
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			n += len(b)
			return nil
		})).Run(context.WithoutCancel(r.Context()))
		if err != nil {
			t.Error(err)
		}
		got <- n
	}))
	c := s.dial(t, 0)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
	c.Write(make([]byte, length))
	c.(*net.TCPConn).CloseWrite()
	if n := <-got; n != length {
		t.Errorf("%d bytes came", n)
	}
}
