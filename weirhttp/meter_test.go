package weirhttp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-go/weir/report"
)

func TestReport_SlowDownloadIsAFlowWhoseBottleneckIsTheClient(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := guarded(t, &Guard{}, bigAndStream(t, 16<<20), k.change...)
			req, _ := http.NewRequest("GET", s.url(k.path), nil)
			resp, err := browser(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			eventually(t, func() bool {
				l := s.g.Transfers.List()
				if len(l) != 1 || l[0].State != StateClient {
					return false
				}
				rep := l[0].Report()
				v := rep.Verdict
				return rep.Running && v.Stage == "client" && v.Kind == report.KindSink && v.WaitingShare > 0.5
			}, "the client is not named")
		})
	}
}

func TestReport_DownloadThatARateHoldsBackSaysSo(t *testing.T) {
	s := guarded(t, &Guard{Rate: 64 << 10}, bigAndStream(t, 16<<20))
	resp, err := browser(t).Get(s.url("/big"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var reading sync.WaitGroup
	defer reading.Wait()
	defer s.g.Close()
	reading.Go(func() { io.Copy(io.Discard, resp.Body) })
	eventually(t, func() bool {
		l := s.g.Transfers.List()
		return len(l) == 1 && l[0].State == "waiting for the rate limit" && l[0].Report().Verdict.Limit
	}, "the rate is not named")
}

func TestReport_UploadByTheKernelIsAFlowWhoseSourceIsTheClient(t *testing.T) {
	atOnce(t)
	var last atomic.Pointer[Transfer]
	h := &Uploads{Dir: t.TempDir(), NoDigest: true}
	s := guarded(t, &Guard{Transfers: &Transfers{Done: func(x Transfer, err error) { last.Store(&x) }}}, h)
	t.Cleanup(func() { h.Close() })
	c := s.dial(t, 0)
	const size = 4 << 20
	fmt.Fprintf(c, "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	io.WriteString(c, strings.Repeat("x", size/2))
	eventually(t, func() bool {
		l := s.g.Transfers.List()
		return len(l) == 1 && l[0].Moved == size/2 && l[0].State == StateClient && l[0].Report().Verdict.Stage == "client"
	}, "the client is not named")
	io.WriteString(c, strings.Repeat("x", size/2))
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 201 {
		t.Fatal(resp, err)
	}
	if rep := last.Load().Report(); canSplice && rep.Kernel != "splice" || rep.Running || rep.Stages[1].Out != size {
		t.Errorf("%+v", rep)
	}
}

func TestReport_RequestIsToldOfItsOwnTransfer(t *testing.T) {
	told := make(chan Transfer, 10)
	inner := bigAndStream(t, 4<<20)
	s := guarded(t, &Guard{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(WithDone(r.Context(), func(x Transfer, _ error) { told <- x })))
	}))
	for _, path := range []string{"/big", "/stream"} {
		s.fetch(t, browser(t), "GET", path)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		select {
		case x := <-told:
			if x.Moved != 4<<20 || x.State != "ended" {
				t.Errorf("%s: %+v", path, x)
			}
		case <-ctx.Done():
			t.Errorf("%s: nobody was told", path)
		}
		cancel()
	}
	if len(told) > 0 {
		t.Error("told twice")
	}
}
