package lab

import (
	_ "embed"
	"html/template"
	"io"
	"runtime"
	"strings"
	"time"
)

//go:embed report.html
var reportText string

var reportTemplate = template.Must(template.New("report").Parse(reportText))

// A Report is a page about one or more results. It needs nothing from elsewhere:
// its pictures, its styles and the raw samples are in it, and it has no scripts.
type Report struct {
	Results []*Result
	Command string // that repeats the run
	Version string // of the program
	Date    time.Time
	Guard   int64 // bytes
}

// section is a result as the page shows it.
type section struct {
	*Result
	Sentence string
	Rows     []row
	Pictures []template.HTML
}

// WriteHTML writes the page to w.
func (p Report) WriteHTML(w io.Writer) error {
	var list []section
	for _, r := range p.Results {
		s := section{Result: r, Sentence: r.sentence(), Rows: r.rows()}
		q := []quantity{residentMemory}
		switch r.load {
		case loadAbort:
			q = append(q, descriptors)
		case loadDownload, loadUpload:
			q = append(q, kernelSockets)
		}
		for _, q := range q {
			// svg escapes its texts. Within HTML it needs no name space, and no
			// title that two pictures would share.
			picture := strings.Replace(r.svg(q), ` xmlns="http://www.w3.org/2000/svg"`, "", 1)
			picture = strings.Replace(picture, ` aria-labelledby="t d"`, "", 1)
			picture = strings.NewReplacer(` id="t"`, "", ` id="d"`, "").Replace(picture)
			s.Pictures = append(s.Pictures, template.HTML(picture))
		}
		list = append(list, s)
	}
	return reportTemplate.Execute(w, map[string]any{
		"Results": list, "Command": p.Command, "Version": p.Version, "Guard": bytes(p.Guard),
		"Date": p.Date.Format("2006-01-02 15:04 MST"), "Cores": count(int64(runtime.NumCPU()), "core"), "Methods": Methods(),
	})
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

// escape makes s fit for a text in SVG.
func escape(s string) string { return template.HTMLEscapeString(s) }
