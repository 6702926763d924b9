package compress_test

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/internal/race"
)

// oneMember decompresses the first member, as browsers do, and fails if
// anything follows it.
func oneMember(t *testing.T, packed []byte) []byte {
	t.Helper()
	r := bytes.NewReader(packed)
	zr, err := stdgzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	zr.Multistream(false)
	got, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	if r.Len() > 0 {
		t.Errorf("%d bytes follow the member", r.Len())
	}
	return got
}

func TestGzip_WritesOneMemberThatIsTheSameForAnyNumberOfWorkers(t *testing.T) {
	text := logText(2*member + 12345)
	for level := 0; level <= 9; level++ {
		for _, n := range []int{0, 1, 100, member - 1, member, member + 1, 2 * member, len(text)} {
			if level > 6 && n > member+1 {
				continue // slow, and nothing new
			}
			if race.Enabled && level > 1 {
				continue // what differs between levels runs in one goroutine
			}
			var want []byte
			for _, workers := range []int{1, 2, 8} {
				got := mustRun(t, text[:n], compress.Gzip(compress.Level(level), compress.Workers(workers)))
				if want == nil {
					if want = got; !bytes.Equal(oneMember(t, got), text[:n]) {
						t.Errorf("level %d, %d bytes: the member holds something else", level, n)
					}
				}
				if !bytes.Equal(got, want) {
					t.Errorf("level %d, %d bytes: %d workers write %d bytes, one writes %d", level, n, workers, len(got), len(want))
				}
			}
		}
	}
}

func TestGzip_BlocksEndWithTwoEmptyStoredBlocks(t *testing.T) {
	text := logText(3*member + 5)
	packed := mustRun(t, text, compress.Gzip())
	if n := bytes.Count(packed, []byte("\x00\x00\xff\xff\x00\x00\x00\xff\xff")); n != 3 {
		t.Errorf("%d pairs of markers, want 3", n)
	}
	if bytes.HasSuffix(packed[:len(packed)-8], []byte("\x00\x00\xff\xff")) {
		t.Error("the last block ends with a marker too")
	}
}

func TestGzip_ManySmallWritesGiveTheSameAsOne(t *testing.T) {
	text := logText(member + 70_000)
	want := mustRun(t, text, compress.Gzip())
	for _, workers := range []int{1, 2, 8} {
		if race.Enabled && workers != 2 {
			continue
		}
		for name, r := range map[string]io.Reader{
			"halves":   iotest.HalfReader(bytes.NewReader(text)),
			"pieces":   io.MultiReader(bytes.NewReader(text[:7]), bytes.NewReader(text[7:member]), bytes.NewReader(text[member:])),
			"one byte": iotest.OneByteReader(bytes.NewReader(text)),
		} {
			got, err := run(r, compress.Gzip(compress.Workers(workers)))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d workers: %d bytes, want %d, %v", name, workers, len(got), len(want), err)
			}
		}
	}
}

func TestGzip_AFullBlockIsDeliveredBeforeTheNextIsFull(t *testing.T) {
	text := logText(2*member + 10)
	for _, workers := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			pr, pw := io.Pipe()
			var out bytes.Buffer
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := weir.FromReader(pr).Through(compress.Gzip(compress.Workers(workers))).To(weir.ToWriter(&out)).Run(context.Background()); err != nil {
					t.Error(err)
				}
			})
			pw.Write(text)
			synctest.Wait()
			got, err := run(bytes.NewReader(bytes.Clone(out.Bytes())), compress.Gunzip(compress.Workers(1)))
			if len(got) < 2*member || !bytes.HasPrefix(text, got) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d workers: %d bytes are there so far, %v", workers, len(got), err)
			}
			pw.Close()
			wg.Wait()
		})
	}
}

func TestGzip_FailuresOfTheSourceEndIt(t *testing.T) {
	boom := errors.New("boom")
	for _, workers := range []int{1, 2, 8} {
		for _, n := range []int{0, 1, member, 3*member + 1} {
			in := io.MultiReader(bytes.NewReader(logText(n)), iotest.ErrReader(boom))
			if _, err := run(in, compress.Gzip(compress.Workers(workers))); !errors.Is(err, boom) {
				t.Errorf("%d workers, after %d bytes: %v", workers, n, err)
			}
		}
		why := errors.New("enough of it")
		ctx, cancel := context.WithCancelCause(context.Background())
		err := weir.FromReader(again(logText(member), 1<<40)).Through(compress.Gzip(compress.Workers(workers))).To(weir.EachBatch(func(context.Context, []byte) error {
			cancel(why)
			return nil
		})).Run(ctx)
		if !errors.Is(err, why) {
			t.Errorf("%d workers, cancelled: %v", workers, err)
		}
	}
}

func TestGzip_OneStageServesManyFlowsAtOnce(t *testing.T) {
	for _, workers := range []int{1, 3} {
		st := compress.Gzip(compress.Workers(workers), compress.Level(1))
		text := logText(2*member + 99)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				mine := text[i*1000:]
				packed, err := run(bytes.NewReader(mine), st)
				if err != nil {
					t.Error(err)
					return
				}
				zr, err := stdgzip.NewReader(bytes.NewReader(packed))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(zr); err != nil || !bytes.Equal(got, mine) {
					t.Errorf("flow %d, %d workers: %d bytes, %v", i, workers, len(got), err)
				}
			})
		}
		wg.Wait()
	}
}

func TestGzip_EveryClientReadsItWhole(t *testing.T) {
	if race.Enabled {
		t.Skip("it looks for no races, and takes long under their detector")
	}
	for _, n := range []int{0, 3*member + 17} {
		text := logText(n)
		packed := mustRun(t, text, compress.Gzip())
		name := t.TempDir() + "/packed.gz"
		if err := os.WriteFile(name, packed, 0o600); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "text/plain")
			w.Write(packed)
		}))
		defer server.Close()
		for _, argv := range [][]string{
			{"gzip", "-dc"},
			{"pigz", "-dc"},
			{"python3", "-c", "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))"},
			{"python3", "-c", "import zlib,sys; d = zlib.decompressobj(31); sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read())); assert d.eof and not d.unused_data"},
			{"perl", "-MIO::Uncompress::Gunzip=gunzip", "-e", "binmode STDIN; binmode STDOUT; gunzip('-' => '-') or die"},
			{"node", "-e", "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync('" + name + "')))"},
			{"curl", "-sSf", "--compressed", server.URL},
		} {
			t.Run(fmt.Sprintf("%s/%d", argv[0], n), func(t *testing.T) {
				if _, err := exec.LookPath(argv[0]); err != nil {
					t.Skip(argv[0], "is not installed")
				}
				cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
				cmd.Stdin = bytes.NewReader(packed)
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				if got, err := cmd.Output(); err != nil || !bytes.Equal(got, text) {
					t.Errorf("%d bytes of %d, %v: %s", len(got), n, err, &stderr)
				}
			})
		}
	}
}

// A page with a script of several MiB, both compressed, whose last statement
// writes into the page.
func TestGzip_ABrowserReadsItWhole(t *testing.T) {
	if race.Enabled {
		t.Skip("it looks for no races, and takes long under their detector")
	}
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no Chromium is installed")
	}
	if testing.Short() {
		t.Skip("starting a browser takes seconds")
	}
	script := "/*" + strings.ReplaceAll(string(logText(3*member)), "*/", "") + "*/\ndocument.title = 'read to the end';\n"
	packed := mustRun(t, []byte(script), compress.Gzip())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big.js" {
			w.Header().Set("Content-Type", "text/javascript")
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><title>nothing</title><script src=/big.js></script>")
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--dump-dom", server.URL)
	page, err := cmd.Output()
	if err != nil && len(page) == 0 {
		t.Skipf("%s does not start here: %v", browser, err)
	}
	if !strings.Contains(string(page), "<title>read to the end</title>") {
		t.Errorf("the browser has not run the end of the script: %.300s", page)
	}
}
