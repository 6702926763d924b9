package weirhttp

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/auth"
)

// TestMain lets the test binary be a client and a server of its own, so that a
// trace of the server shows the server's calls only.
func TestMain(m *testing.M) {
	if url := os.Getenv("WEIR_TEST_FETCH"); url != "" {
		resp, err := http.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		if err != nil || resp.StatusCode != http.StatusOK {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if how := os.Getenv("WEIR_TEST_SERVE"); how != "" {
		serveForTrace(os.Getenv("WEIR_TEST_DIR"), tracedServers[how])
		os.Exit(0)
	}
	os.Exit(runAll(m))
}

// tracedServers are what can be served by a process of its own.
var tracedServers = map[string]func(dir string) (*Guard, http.Handler){
	"files": func(dir string) (*Guard, http.Handler) { return new(Guard), filesIn(dir) },
	"files with everything on": func(dir string) (*Guard, http.Handler) {
		files := filesIn(dir)
		files.Precompressed, files.List, files.Archive = true, true, true
		word, err := auth.Hash("word")
		if err != nil {
			panic(err)
		}
		users, err := auth.Parse(strings.NewReader("me:" + word + ":r\n"))
		if err != nil {
			panic(err)
		}
		g := &Guard{Budget: weir.NewBudget(16 << 20), Transfers: &Transfers{Done: func(Transfer, error) {}}}
		return g, users.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			l := &accessLog{ResponseWriter: w}
			files.ServeHTTP(l, r.WithContext(WithDone(r.Context(), func(Transfer, error) {})))
		}))
	},
	"uploads": func(dir string) (*Guard, http.Handler) {
		mux := http.NewServeMux()
		mux.Handle("/copied/", &Uploads{Dir: dir, Sync: true, Overwrite: true})
		mux.Handle("/moved/", &Uploads{Dir: dir, Sync: true, NoDigest: true})
		return new(Guard), mux
	},
}

func filesIn(dir string) *FileServer {
	root, err := os.OpenRoot(dir)
	if err != nil {
		panic(err)
	}
	return Files(root)
}

// accessLog is what those who log requests put around a writer.
type accessLog struct {
	http.ResponseWriter
	bytes int64
}

func (l *accessLog) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *accessLog) ReadFrom(r io.Reader) (int64, error) {
	n, err := l.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
	l.bytes += n
	return n, err
}

func (l *accessLog) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(l.ResponseWriter).Hijack()
}

// serveForTrace serves until standard input ends, and says where on standard
// output.
func serveForTrace(dir string, how func(dir string) (*Guard, http.Handler)) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	g, h := how(dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(&http.Server{Handler: h}, l) }()
	os.Stdout.WriteString(l.Addr().String() + "\n")
	io.Copy(io.Discard, os.Stdin)
	g.Close()
	<-done
}

// tracedCall is one call of a trace that has returned.
type tracedCall struct {
	name, args string
	result     int64
}

var (
	tracedLine    = regexp.MustCompile(`^(\d+) +(.*)$`)
	tracedResumed = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
	tracedReturn  = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+)`)
)

// traced runs a server under strace while use is its client, and returns those
// of the calls that were asked for, in the order in which they returned. A call
// that another thread's interrupts is put together again. Descriptors have
// their paths.
func traced(t *testing.T, how, dir, calls string, use func(addr string)) []tracedCall {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	server := exec.Command(strace, "-f", "-y", "-qq", "-s", "256", "-e", "signal=none", "-e", "trace="+calls, "-o", trace, self)
	server.Env = append(os.Environ(), "WEIR_TEST_SERVE="+how, "WEIR_TEST_DIR="+dir)
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Skip(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		in.Close()
		t.Skipf("the server does not start under strace: %v", server.Wait())
	}
	func() {
		defer in.Close() // whatever becomes of the client
		use(strings.TrimSpace(addr))
	}()
	if err := server.Wait(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	return parseTrace(string(b))
}

func parseTrace(trace string) (list []tracedCall) {
	begun := map[string]string{} // by thread
	for text := range strings.Lines(trace) {
		m := tracedLine.FindStringSubmatch(strings.TrimSuffix(text, "\n"))
		if m == nil {
			continue
		}
		thread, text := m[1], m[2]
		if first, ok := strings.CutSuffix(text, " <unfinished ...>"); ok {
			begun[thread] = first
			continue
		}
		if m := tracedResumed.FindStringSubmatch(text); m != nil {
			text = begun[thread] + m[1]
		}
		if m := tracedReturn.FindStringSubmatch(text); m != nil {
			n, _ := strconv.ParseInt(m[3], 10, 64)
			list = append(list, tracedCall{m[1], m[2], n})
		}
	}
	return list
}

func TestTrace_TracesOfSeveralThreadsArePutTogether(t *testing.T) {
	got := parseTrace(`7 fsync(3</f> <unfinished ...>
8 sendfile(4<socket:[1]>, 5</f>, [0] => [9], 16) = 9
9 read(6<pipe:[2]>,  <unfinished ...>
7 <... fsync resumed>)                  = 0
8 write(4<socket:[1]>, "a) = 5", 6 <unfinished ...>
8 <... write resumed>) = -1 EAGAIN (Resource temporarily unavailable)
`)
	want := []tracedCall{
		{"sendfile", "4<socket:[1]>, 5</f>, [0] => [9], 16", 9}, {"fsync", "3</f>", 0}, {"write", `4<socket:[1]>, "a) = 5", 6`, -1},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("call %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}
