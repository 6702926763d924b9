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
	"testing/synctest"
	"time"

	"github.com/weir-go/weir/report"
)

func TestTheTimeOfATransferAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m meter
		m.begin()
		for _, p := range []phase{phaseMoving, phaseClient, phaseRate, phaseClient, phaseMoving} {
			m.enter(p)
			time.Sleep(time.Second)
		}
		m.end()
		time.Sleep(time.Hour)
		for _, kind := range []Direction{Download, Upload} {
			rep := m.report(kind, true, 5)
			if rep.Running || rep.Wall != 5*time.Second {
				t.Errorf("%s: running %v, %v", kind, rep.Running, rep.Wall)
			}
			for _, s := range rep.Stages {
				if sum := s.Busy + s.Blocked + s.Starved + s.Outside + s.Unknown; sum != s.Wall || s.Wall != rep.Wall {
					t.Errorf("%s, %s: %v of %v", kind, s.Name, sum, s.Wall)
				}
			}
		}
	})
}

func TestTheVerdictNamesWhoIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		kind   Direction
		kernel bool
		spend  [phases]time.Duration
		want   string
	}{
		"a slow client":            {Download, true, [phases]time.Duration{phaseMoving: 1, phaseClient: 99}, "the destination is the bottleneck: writing (client) took 99% of the time, and read waited for it 99% of the time"},
		"a rate":                   {Download, true, [phases]time.Duration{phaseMoving: 5, phaseRate: 95}, "the rate limit (rate) is the bottleneck: it held the flow back 95% of the time, and read waited for it 95% of the time"},
		"nobody, by the kernel":    {Download, true, [phases]time.Duration{phaseMoving: 99, phaseClient: 1}, "unknown bottleneck: the kernel moved the bytes (sendfile) and does not tell reading from writing"},
		"half of it hidden":        {Download, true, [phases]time.Duration{phaseMoving: 50, phaseClient: 50}, "unknown bottleneck: the kernel moved the bytes (sendfile) and does not tell reading from writing"},
		"the disk, through memory": {Download, false, [phases]time.Duration{phaseMoving: 80, phaseClient: 20}, "the source is the bottleneck: reading (read) took 80% of the time"},
		"nobody":                   {Download, false, [phases]time.Duration{phaseMoving: 50, phaseClient: 50}, "no single bottleneck: read (50% of the time) and client (50%) take turns"},
		"a slow uploader":          {Upload, true, [phases]time.Duration{phaseMoving: 10, phaseClient: 90}, "the source is the bottleneck: reading (client) took 90% of the time"},
		"the disk under an upload": {Upload, true, [phases]time.Duration{phaseMoving: 90, phaseClient: 10}, "the destination is the bottleneck: writing (write) took 90% of the time, and client waited for it 90% of the time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m meter
				m.begin()
				for p, d := range c.spend {
					m.enter(phase(p))
					time.Sleep(d * time.Second)
				}
				m.end()
				rep := m.report(c.kind, c.kernel, 0)
				if got := rep.Verdict.String(); got != c.want {
					t.Errorf("%s", got)
				}
				if hidden := rep.Stages[0].Unknown; c.kind == Download && c.kernel != (hidden > 0) {
					t.Errorf("%v are unknown", hidden)
				}
			})
		})
	}
}

func TestASlowDownloadIsAFlowWhoseBottleneckIsTheClient(t *testing.T) {
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

func TestADownloadThatARateHoldsBackSaysSo(t *testing.T) {
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

func TestAnUploadByTheKernelIsAFlowWhoseSourceIsTheClient(t *testing.T) {
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

func TestARequestIsToldOfItsOwnTransfer(t *testing.T) {
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
