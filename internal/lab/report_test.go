package lab

import (
	gobytes "bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// invented is a result whose numbers nobody measured: of a download, or of clients
// that leave.
func invented(l load) *Result {
	r := &Result{Experiment: "invented", Setup: "Two servers send <a file>.", Stated: "64 KiB & more", ReadLabel: "read", SentLabel: "taken",
		Guard: 2 << 30, load: l, Settings: Settings{Clients: 10, Size: 64 << 20, For: 10 * time.Second}}
	for i, letter := range []string{"A", "B", "C"} {
		s := &Side{Letter: letter, Label: "label " + letter, Does: "does <things>", Idle: 10 << 20, FilesIdle: 10, FilesLeft: 10}
		for at := range 100 {
			x := Sample{Seconds: float64(at) / 10, Resident: 10 << 20, Kernel: 1 << 20, Files: 10, Read: int64(at) << 20, Sent: int64(at) << 19}
			if i != 1 {
				x.Resident += int64(at) << 20
			}
			s.Samples = append(s.Samples, x)
			s.Peak, s.Kernel, s.Read, s.Sent, s.Wait = x.Resident, x.Kernel, x.Read, x.Sent, x.Read-x.Sent
		}
		s.First, s.FirstLongest, s.Served, s.Whole, s.Seconds = 0.004, 1.5, 10, 9, 9.9
		r.Sides = append(r.Sides, s)
	}
	r.Sides[1].Ceiling, r.Sides[1].Held = 640<<10, 80<<10
	r.Sides[0].Trouble = "ended by the guard of 2 GiB"
	r.check()
	return r
}

func TestText_HasAPlotATableAndWhatWeirStates(t *testing.T) {
	text := invented(loadDownload).Text(100)
	for _, want := range []string{
		"A label A", "B label B", "C label C", "peak memory", "109 MiB", "10 MiB", "B holds 10 times less",
		"none", "640 KiB", "64 KiB & more", "4.0 ms", "1.5 s", "9 of 10", "ended by the guard",
		"memory in weir's buffers: 80 KiB of at most 640 KiB: held",
		"growth of weir's resident memory: 0 B of at most 16.6 MiB: held",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	for _, c := range text {
		if c > 126 || c < 32 && c != '\n' {
			t.Errorf("%q is no plain character", c)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 101 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
	if abort := invented(loadAbort).Text(80); !strings.Contains(abort, "descriptors after") || !strings.Contains(abort, "descriptors that weir left open: 0 of at most 8: held") {
		t.Error(abort)
	}
}

func TestText_LeavesOutWhatWasNotMeasured(t *testing.T) {
	r := invented(loadDownload)
	for _, s := range r.Sides {
		s.Idle, s.Peak, s.Kernel, s.Read, s.Wait = unmeasured, unmeasured, unmeasured, unmeasured, unmeasured
		for i := range s.Samples {
			s.Samples[i] = Sample{Seconds: s.Samples[i].Seconds, Resident: unmeasured, Kernel: unmeasured, Files: unmeasured, Read: unmeasured}
		}
	}
	r.Checks = nil
	r.check()
	text := r.Text(80)
	for _, no := range []string{"peak memory", "kernel", "growth", "read ", "-1"} {
		if strings.Contains(text, no) {
			t.Errorf("the text has %q:\n%s", no, text)
		}
	}
	if len(r.Checks) != 1 || !r.OK() || !strings.Contains(r.sentence(), "could not be measured") {
		t.Errorf("%v, %s", r.Checks, r.sentence())
	}
	if err := (Report{Results: []*Result{r}}).WriteHTML(io.Discard); err != nil {
		t.Error(err)
	}
}

func TestPlot_DrawsEachSideWhereItIs(t *testing.T) {
	r := invented(loadDownload)
	r.Sides = r.Sides[:2]
	lines := r.Plot(60, 8)
	if len(lines) != 8+3 {
		t.Fatalf("%d lines", len(lines))
	}
	top, bottom := lines[1], lines[8]
	if !strings.HasPrefix(strings.TrimSpace(top), "109 MiB |") || !strings.HasSuffix(top, "A") || strings.Contains(top, "BB") {
		t.Errorf("top: %q", top)
	}
	if strings.Count(bottom, "B") != 46 || strings.Contains(bottom, "A") {
		t.Errorf("bottom: %q", bottom)
	}
	for _, size := range []int{0, 1, 20, 500} { // also where there is next to no room
		if n := len(r.Plot(size, size)); n < 4 {
			t.Errorf("%d lines for a size of %d", n, size)
		}
	}
	if n := len((&Result{Sides: []*Side{{Letter: "A"}}}).Plot(80, 8)); n != 11 {
		t.Errorf("%d lines without a sample", n)
	}
}

// wellFormed reads a page as XML, and forgives what HTML allows.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta"}, xml.HTMLEntity
	var open []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			open = append(open, e.Name.Local)
		case xml.EndElement:
			if n := len(open); n == 0 || open[n-1] != e.Name.Local {
				t.Fatalf("</%s> ends nothing: %v", e.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("never ended: %v", open)
	}
}

func TestReport_IsAWholePageThatNeedsNothingFromElsewhere(t *testing.T) {
	var b gobytes.Buffer
	p := Report{Results: []*Result{invented(loadDownload), invented(loadAbort)}, Command: "weir lab --all --size '<1>'", Version: "weir v0", Date: time.Unix(0, 0), Guard: 2 << 30}
	if err := p.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	wellFormed(t, page)
	if found := regexp.MustCompile(`(?i)(src|href|action|srcset)\s*=|url\(|@import|://|<script|<link|<iframe|\son\w+=`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
	for _, want := range []string{
		"prefers-color-scheme: dark", "<polyline", "B holds 10 times less", "weir lab --all --size &#39;&lt;1&gt;&#39;", "2 GiB",
		"Two servers send &lt;a file&gt;.", "64 KiB &amp; more", "9.900,114294784,1048576,10,103809024,51904512", "open descriptors",
		"kernel memory of the server", "ended by the guard", residentFrom,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, "<svg"); n != 4 {
		t.Errorf("%d pictures", n)
	}
	if strings.Contains(page, `class="broken">memory`) {
		t.Error("a check that holds is shown as broken")
	}
}

func TestPicture_IsAFileOfItsOwn(t *testing.T) {
	picture := invented(loadDownload).Picture()
	if err := xml.Unmarshal([]byte(picture), new(struct{ XMLName xml.Name })); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, picture)
	for _, want := range []string{`xmlns="http://www.w3.org/2000/svg"`, "A label A", "B label B", "prefers-color-scheme: dark", "dotted: what B states, 26.6 MiB"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func TestMeasure_KernelMemoryIsThatOfOnePort(t *testing.T) {
	measured(t)
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	client, done, err := dial(t.Context(), addr, 16<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	port := portOf(addr)
	if n := kernelMemory(port); n < 0 || n > 64<<10 {
		t.Errorf("%d bytes before anything is sent", n)
	}
	_ = server.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)) // until nothing fits any more
	sent, _ := server.Write(make([]byte, 16<<20))
	if n := kernelMemory(port); n < int64(sent)/4 || sent == 0 {
		t.Errorf("%d bytes of kernel memory for %d bytes that nobody reads", n, sent)
	}
	if n := kernelMemory(portOf(client.LocalAddr().String())); n <= 0 {
		t.Errorf("%d bytes at the client", n)
	}
	if n := kernelMemory(1); n != 0 {
		t.Errorf("%d bytes of a port without sockets", n)
	}
}
