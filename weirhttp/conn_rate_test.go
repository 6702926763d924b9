package weirhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

func TestRate_RatesHoldForUploadsToo(t *testing.T) {
	atOnce(t)
	const rate, size = 1 << 20, 1 << 20
	for name, g := range map[string]*Guard{"each": {ConnRate: rate}, "all": {Rate: 2 * rate}} {
		t.Run(name, func(t *testing.T) {
			nothingLeft(t)
			u := &Uploads{Dir: t.TempDir()}
			t.Cleanup(func() { u.Close() })
			s := guarded(t, g, u)
			begun := time.Now()
			var wg sync.WaitGroup
			for i := range 2 {
				wg.Go(func() {
					req, _ := http.NewRequest("PUT", s.url(fmt.Sprint("/", i)), bytes.NewReader(make([]byte, size)))
					resp, err := browser(t).Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusCreated {
						t.Error(resp.Status)
					}
				})
			}
			wg.Wait()
			// A burst of 64 KiB may pass at once.
			if took, least := time.Since(begun), time.Second*(size-64<<10)/rate; took < least {
				t.Errorf("they took %v, and at that rate it is %v", took, least)
			}
			if n := s.g.Transfers.Totals().BytesIn; n != 2*size {
				t.Errorf("%d bytes came", n)
			}
		})
	}
}

func TestRate_BodyBelowTheMinimumRateIsDisconnected(t *testing.T) {
	atOnce(t)
	ended := make(chan error, 1)
	s := guarded(t, &Guard{Stall: 300 * time.Millisecond, MinRate: 64 << 10}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	}))
	c := s.dial(t, 0)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
	if err := drip(t, c, ended); err == nil {
		t.Error("all of it has come")
	}
}

// drip sends 6 KB a second, without a pause that is a stall, until it is told how
// that ended.
func drip(t *testing.T, c net.Conn, ended <-chan error) error {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	give := time.After(20 * time.Second)
	for {
		select {
		case err := <-ended:
			return err
		case <-give:
			t.Fatal("it is not cut off")
		case <-tick.C:
			c.Write(make([]byte, 64))
		}
	}
}

func TestRate_UploadBelowTheMinimumRateIsDisconnected(t *testing.T) {
	atOnce(t)
	for _, tt := range []struct {
		name, header string
	}{
		{"by the kernel", "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"},
		{"through memory", "PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nothingLeft(t)
			u := &Uploads{Dir: t.TempDir(), Stall: 300 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
			t.Cleanup(func() { u.Close() })
			ended := make(chan error, 1)
			s := guarded(t, &Guard{MinRate: 64 << 10, Transfers: &Transfers{Done: func(_ Transfer, err error) { ended <- err }}}, u)
			c := s.dial(t, 0)
			io.WriteString(c, tt.header)
			if err := drip(t, c, ended); !errors.Is(err, weir.ErrStalled) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestRate_BodyThatARateHoldsBackIsNotDisconnected(t *testing.T) {
	atOnce(t)
	ended := make(chan error, 1)
	// The body takes 1.5 s because of the rate: longer than the client could be behind.
	s := guarded(t, &Guard{Stall: time.Second, MinRate: 8 << 20, ConnRate: 128 << 10}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	}))
	resp, err := browser(t).Post(s.url("/"), "", bytes.NewReader(make([]byte, 192<<10)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestRate_SmallPiecesAreHeldToTheRateToo(t *testing.T) {
	atOnce(t)
	const rate, size = 16 << 10, 32 << 10
	ended := make(chan int64, 1)
	s := guarded(t, &Guard{ConnRate: rate}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		ended <- n
	}))
	c := s.dial(t, 0)
	begun := time.Now()
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	piece := make([]byte, 256)
	for range size / len(piece) {
		c.Write(piece)
		runtime.Gosched() // the other side may read each by itself
	}
	if n := <-ended; n != size {
		t.Errorf("%d bytes came", n)
	}
	// A burst may pass at once.
	if took, least := time.Since(begun), time.Second*(size-8<<10)/rate; took < least {
		t.Errorf("it took %v, and at that rate it is %v", took, least)
	}
}
