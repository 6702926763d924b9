package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/internal/markup"
)

// errorPages makes a page of an error of h if a browser shows it to a person. Programs get
// the line of text.
func errorPages(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead || !strings.Contains(r.Header.Get("Accept"), "text/html") {
			h.ServeHTTP(w, r)
			return
		}
		e := &errorWriter{ResponseWriter: w, r: r}
		h.ServeHTTP(e, r)
		_ = e.send() // an error means that the client has disconnected
	})
}

// errorWriter holds an error back and sends a page instead. Everything else passes, with
// the abilities of the writer underneath.
type errorWriter struct {
	http.ResponseWriter
	r      *http.Request
	status int // of the error that is held back; 0: none
	begun  bool
	text   bytes.Buffer // the handler's message
}

// longestError is how much of the text of an error is kept, in bytes.
const longestError = 1 << 10

// Unwrap is for http.ResponseController.
func (e *errorWriter) Unwrap() http.ResponseWriter { return e.ResponseWriter }

func (e *errorWriter) WriteHeader(status int) {
	if e.begun {
		return
	}
	if status >= 400 && strings.HasPrefix(e.Header().Get("Content-Type"), "text/plain") {
		e.begun, e.status = true, status
		return
	}
	e.begun = status >= 200
	e.ResponseWriter.WriteHeader(status)
}

func (e *errorWriter) Write(p []byte) (int, error) {
	e.begun = true
	if e.status == 0 {
		return e.ResponseWriter.Write(p)
	}
	e.text.Write(p[:min(len(p), longestError-e.text.Len())])
	return len(p), nil
}

func (e *errorWriter) ReadFrom(src io.Reader) (int64, error) {
	rf, ok := e.ResponseWriter.(io.ReaderFrom)
	if e.status != 0 || !ok {
		return io.Copy(struct{ io.Writer }{e}, src)
	}
	e.begun = true
	return rf.ReadFrom(src)
}

// FlushError sends the page if there is an error.
func (e *errorWriter) FlushError() error {
	if err := e.send(); err != nil {
		return err
	}
	return http.NewResponseController(e.ResponseWriter).Flush()
}

// Hijack is called by a download that leaves net/http.
func (e *errorWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(e.ResponseWriter).Hijack()
}

// send sends the page of an error.
func (e *errorWriter) send() error {
	if e.status == 0 {
		return nil
	}
	status := e.status
	e.status = 0
	said := chars.Visible(strings.TrimSpace(e.text.String()))
	title, text := explainStatus(status)
	if said == http.StatusText(status) || strings.HasSuffix(said, "page not found") {
		said = ""
	}
	above := ""
	if dir := path.Dir(strings.TrimSuffix(e.r.URL.EscapedPath(), "/")); dir != "/" && dir != "." && strings.HasPrefix(dir, "/") && !strings.HasPrefix(dir, "//") {
		above = dir + "/"
	}
	var page bytes.Buffer
	if err := writeErrorPage(&page, title, text, said, above, status == 429 || status >= 500); err != nil {
		return err
	}
	pageHeader(e.Header())
	e.Header().Set("Content-Length", strconv.Itoa(page.Len()))
	e.ResponseWriter.WriteHeader(status)
	if e.r.Method == http.MethodHead {
		return nil
	}
	_, err := e.ResponseWriter.Write(page.Bytes())
	return err
}

// writeErrorPage writes the page of an error. said is the handler's message, and above is
// the path of the folder above; both can be empty. With again the page has a link to repeat
// the request.
func writeErrorPage(out io.Writer, title, text, said, above string, again bool) error {
	w := markup.NewWriter(out)
	writeHead(w, title)
	w.HTML(`
</head>
<body>
<main class="note">
<h1>`).Text(title).HTML(`</h1>
<p>`).Text(text).HTML(`</p>
`)
	if said != "" {
		w.HTML(`<p class="quiet">`).Text(said).HTML(`</p>
`)
	}
	w.HTML(`<p class="ways">`)
	if again {
		w.HTML(`<a class="button" href="">Try again</a> `)
	}
	if above != "" {
		w.HTML(`<a class="button" href="`).Link(above).HTML(`">The folder above</a> `)
	}
	return w.HTML(`<a class="button" href="/">All files</a></p>
</main>
</body>
</html>
`).Flush()
}

// explainStatus says what the status of an error means to a person.
func explainStatus(status int) (title, text string) {
	switch status {
	case http.StatusUnauthorized:
		return "Password required", "This server wants to know who you are. Reload the page to enter your name and password."
	case http.StatusForbidden:
		return "Not allowed", "You may not see this."
	case http.StatusNotFound:
		return "Not found", "There is no file or folder at this address. It may have been removed or renamed."
	case http.StatusMisdirectedRequest:
		return "Wrong name", "The server does not answer under the name in the address."
	case http.StatusTooManyRequests:
		return "Too many attempts", "Wait a while before you try again."
	case http.StatusServiceUnavailable:
		return "Busy", "The server has no memory left for another transfer. Try again in a moment."
	}
	if status >= 500 {
		return "Server error", "The server could not do this."
	}
	title = http.StatusText(status)
	if title == "" {
		title = "Error " + strconv.Itoa(status)
	}
	return title, "The server could not answer this request."
}
