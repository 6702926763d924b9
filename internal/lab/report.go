package lab

import (
	_ "embed"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir/internal/markup"
)

//go:embed report.css
var reportStyle string

// A Report is a page about one or more results. It needs nothing from elsewhere:
// its pictures, its styles and the raw samples are in it, and it has no scripts.
type Report struct {
	Results []*Result
	Command string // that repeats the run
	Version string // of the program
	Date    time.Time
	Guard   int64 // bytes
}

// WriteHTML writes the page to out.
func (p Report) WriteHTML(out io.Writer) error {
	w := markup.NewWriter(out)
	w.HTML(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>weir lab: `)
	for i, r := range p.Results {
		if i > 0 {
			w.HTML(`, `)
		}
		w.Text(r.Experiment)
	}
	w.HTML(`</title>
<style>
`).Trusted(reportStyle).HTML(`</style>
</head>
<body>
<h1>weir lab</h1>
<p>Side A makes a tutorial's mistake, in Go and on purpose: an unbounded queue stands between reading and writing, where io.Copy would wait. Side B does the same with weir. Each ran in a process of its own, and its memory was measured from outside.</p>
`)
	for _, r := range p.Results {
		w.HTML(`
`)
		writeResult(w, r)
	}
	w.HTML(`
<section>
<h2>How to repeat it</h2>
<pre>`).Text(p.Command).HTML(`</pre>
<p>This run: `).Text(p.Date.Format("2006-01-02 15:04 MST")).HTML(`, `).Text(p.Version).HTML(`, `).Text(count(int64(runtime.NumCPU()), "core"))
	w.HTML(`. All clients were on the same machine and went over the loopback interface. A process was ended when it had `).Text(bytes(p.Guard)).HTML(` of memory.</p>
<h2>How it was measured</h2>
<ul>`)
	for _, m := range Methods() {
		w.HTML(`
<li>`).Text(m).HTML(`</li>`)
	}
	w.HTML(`
</ul>
</section>
<section>
<h2>Raw samples</h2>
<p>Seconds since the load began; bytes of resident memory; bytes of kernel memory of the server's sockets; open descriptors; bytes read or made; bytes that the other end has taken. -1 was not measured.</p>
`)
	for _, r := range p.Results {
		for _, s := range r.Sides {
			writeSamples(w, r.Experiment, s)
		}
	}
	return w.HTML(`</section>
</body>
</html>
`).Flush()
}

// writeResult writes the section of a result.
func writeResult(w *markup.Writer, r *Result) {
	w.HTML(`<section>
<h2>`).Text(r.Experiment).HTML(`</h2>
<p>`).Text(r.Setup).HTML(` `).Text(r.sentence()).HTML(`</p>
<ul>`)
	for _, s := range r.Sides {
		w.HTML(`
<li>`).Text(s.Letter).HTML(` `).Text(s.Label).HTML(`: `).Text(s.Does).HTML(`.`)
		if s.Trouble != "" {
			w.HTML(` <span class="broken">`).Text(s.Trouble).HTML(`.</span>`)
		}
		w.HTML(`</li>`)
	}
	w.HTML(`
</ul>
`)
	writePicture(w, r, residentMemory)
	switch r.load {
	case loadAbort:
		writePicture(w, r, descriptors)
	case loadDownload, loadUpload:
		writePicture(w, r, kernelSockets)
	}
	w.HTML(`
<div class="wide"><table>
`)
	writeRows(w, r)
	w.HTML(`</table></div>
<h3>What weir states</h3>
<ul>`)
	for _, c := range r.Checks {
		w.HTML(`
<li`)
		if !c.OK {
			w.HTML(` class="broken"`)
		}
		w.HTML(`>`).Text(c.String()).HTML(`</li>`)
	}
	w.HTML(`
</ul>
</section>
`)
}

// writePicture draws a quantity.
func writePicture(w *markup.Writer, r *Result, q quantity) {
	// svg escapes its texts. Within HTML it needs no name space, and no title that two
	// pictures would share.
	picture := strings.Replace(r.svg(q), ` xmlns="http://www.w3.org/2000/svg"`, "", 1)
	picture = strings.Replace(picture, ` aria-labelledby="t d"`, "", 1)
	picture = strings.NewReplacer(` id="t"`, "", ` id="d"`, "").Replace(picture)
	w.HTML(`<figure class="wide">`).Trusted(picture).HTML(`</figure>
`)
}

// writeRows writes the rows of the table.
func writeRows(w *markup.Writer, r *Result) {
	w.HTML(`<tr><th></th>`)
	for _, s := range r.Sides {
		w.HTML(`<th scope="col">`).Text(s.Letter).HTML(` `).Text(s.Label).HTML(`</th>`)
	}
	w.HTML(`<th></th></tr>
`)
	for _, row := range r.rows() {
		w.HTML(`<tr><th scope="row">`).Text(row.Label).HTML(`</th>`)
		for _, v := range row.Values {
			w.HTML(`<td>`).Text(v).HTML(`</td>`)
		}
		w.HTML(`<td class="dim">`).Text(row.Note).HTML(`</td></tr>
`)
	}
}

// writeSamples writes the samples of a side, as CSV.
func writeSamples(w *markup.Writer, experiment string, s *Side) {
	w.HTML(`<details><summary>`).Text(experiment).HTML(`, `).Text(s.Letter).HTML(` `).Text(s.Label).HTML(`: `).Int(int64(len(s.Samples))).HTML(` samples</summary>
<pre>seconds,resident,kernel,descriptors,read,sent
`)
	for _, x := range s.Samples {
		w.Text(strconv.FormatFloat(x.Seconds, 'f', 3, 64))
		for _, n := range []int64{x.Resident, x.Kernel, x.Files, x.Read, x.Sent} {
			w.HTML(`,`).Int(n)
		}
		w.HTML(`
`)
	}
	w.HTML(`</pre></details>
`)
}

// Methods says where each quantity comes from on this system.
func Methods() []string {
	from := func(what, source string) string {
		if source == "" {
			source = "not measured on this system"
		}
		return what + ": " + source + "."
	}
	return []string{
		from("Memory", residentFrom),
		from("Kernel memory of sockets, which is not part of it", kernelFrom),
		from("Bytes read, where a server is measured", readFrom),
		from("Bytes taken by clients", "counted by the clients"),
		from("Bytes made and taken, where there is no server, and taken by a disk", "counted by the side itself"),
		from("Open descriptors", filesFrom),
		from("What weir holds, by its account", "Budget.Peak, or Report.Peak of the flow"),
	}
}
