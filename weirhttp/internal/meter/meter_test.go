package meter

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMeter_TimesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		m.Begin()
		for _, p := range []Phase{Moving, Client, Rate, Client, Moving} {
			m.Enter(p)
			time.Sleep(time.Second)
		}
		m.End()
		time.Sleep(time.Hour)
		for _, upload := range []bool{false, true} {
			rep := m.Report(upload, true, 5)
			if rep.Running || rep.Wall != 5*time.Second {
				t.Errorf("upload %v: running %v, %v", upload, rep.Running, rep.Wall)
			}
			for _, s := range rep.Stages {
				if sum := s.Busy + s.Blocked + s.Starved + s.Outside + s.Unknown; sum != s.Wall || s.Wall != rep.Wall {
					t.Errorf("upload %v, %s: %v of %v", upload, s.Name, sum, s.Wall)
				}
			}
		}
	})
}

func TestReport_NamesTheBottleneck(t *testing.T) {
	for name, c := range map[string]struct {
		upload bool
		kernel bool
		spend  [phases]time.Duration
		want   string
	}{
		"a slow client":            {false, true, [phases]time.Duration{Moving: 1, Client: 99}, "the destination is the bottleneck: writing (client) took 99% of the time, and read waited for it 99% of the time"},
		"a rate":                   {false, true, [phases]time.Duration{Moving: 5, Rate: 95}, "the rate limit (rate) is the bottleneck: it held the flow back 95% of the time, and read waited for it 95% of the time"},
		"nobody, by the kernel":    {false, true, [phases]time.Duration{Moving: 99, Client: 1}, "unknown bottleneck: the kernel moved the bytes (sendfile) and does not tell reading from writing"},
		"half of it hidden":        {false, true, [phases]time.Duration{Moving: 50, Client: 50}, "unknown bottleneck: the kernel moved the bytes (sendfile) and does not tell reading from writing"},
		"the disk, through memory": {false, false, [phases]time.Duration{Moving: 80, Client: 20}, "the source is the bottleneck: reading (read) took 80% of the time"},
		"nobody":                   {false, false, [phases]time.Duration{Moving: 50, Client: 50}, "no single bottleneck: read (50% of the time) and client (50%) take turns"},
		"a slow uploader":          {true, true, [phases]time.Duration{Moving: 10, Client: 90}, "the source is the bottleneck: reading (client) took 90% of the time"},
		"the disk under an upload": {true, true, [phases]time.Duration{Moving: 90, Client: 10}, "the destination is the bottleneck: writing (write) took 90% of the time, and client waited for it 90% of the time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m Meter
				m.Begin()
				for p, d := range c.spend {
					m.Enter(Phase(p))
					time.Sleep(d * time.Second)
				}
				m.End()
				rep := m.Report(c.upload, c.kernel, 0)
				if got := rep.Verdict.String(); got != c.want {
					t.Errorf("%s", got)
				}
				if hidden := rep.Stages[0].Unknown; !c.upload && c.kernel != (hidden > 0) {
					t.Errorf("%v are unknown", hidden)
				}
			})
		})
	}
}
