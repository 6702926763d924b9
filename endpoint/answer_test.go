package endpoint

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestSafeName_KeepsNamesHarmless(t *testing.T) {
	for proposed, want := range map[string]string{
		`attachment; filename="a b.txt"`:                     "a b.txt",
		`attachment; filename=plain.txt`:                     "plain.txt",
		`attachment; filename="../../etc/passwd"`:            "passwd",
		`attachment; filename="C:\\Users\\x\\evil.exe"`:      "evil.exe",
		`attachment; filename=".bashrc"`:                     "bashrc",
		`attachment; filename=".."`:                          "from url",
		`attachment; filename="/"`:                           "from url",
		`attachment; filename=""`:                            "from url",
		`attachment`:                                         "from url",
		`;;;`:                                                "from url",
		`attachment; filename*=UTF-8''na%C3%AFve%20file.txt`: "naïve file.txt",
		`attachment; filename*=UTF-8''a%00b%0Ac%E2%80%AE.t`:  "abc.t",
		`attachment; filename="x."`:                          "x",
	} {
		u := &url.URL{Path: "/dir/from url"}
		if got := remoteName(u, http.Header{"Content-Disposition": {proposed}}); got != want {
			t.Errorf("%s: %q, want %q", proposed, got, want)
		}
	}
	for path, want := range map[string]string{"": "download", "/": "download", "/a/": "download", "/a/b": "b", "/..": "download", "/a%2F..": "a%2F"} {
		if got := remoteName(&url.URL{Path: path}, nil); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	long := safeName(strings.Repeat("é", 300) + ".tar")
	if len(long) > 255 || !strings.HasSuffix(long, ".tar") || !utf8.ValidString(long) {
		t.Errorf("a long name: %d bytes, %q", len(long), long)
	}
}

func FuzzSafeName_StaysInItsFolder(f *testing.F) {
	for _, s := range []string{"a", "../a", `..\a`, ".", "..", "a/..", "\x00", "con", "a\u202eb", strings.Repeat(".", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := safeName(s)
		if name != "" && (filepath.Join("d", name) != filepath.FromSlash("d/"+name) || strings.HasPrefix(name, ".") || len(name) > 255) {
			t.Errorf("%q becomes %q", s, name)
		}
	})
}

func FuzzContentRange_IsInOrder(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */7", "bytes -1-2/3", "bytes 9223372036854775807-9223372036854775807/*", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, err := contentRange(s)
		if err == nil && (first < 0 || last < first || total >= 0 && total <= last || total < -1) {
			t.Errorf("%q: %d-%d/%d", s, first, last, total)
		}
	})
}

func TestValidator_DateIsStrongOnlyWhenItIsOld(t *testing.T) {
	for _, c := range []struct {
		h    http.Header
		want string
	}{
		{http.Header{"Etag": {`"x"`}}, `"x"`},
		{http.Header{"Etag": {`W/"x"`}}, ""},
		{http.Header{"Etag": {`x`}}, ""},
		{http.Header{"Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"}}, ""},
		{http.Header{"Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"}, "Date": {"Mon, 02 Jan 2006 15:04:05 GMT"}}, ""},
		{http.Header{"Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"}, "Date": {"Mon, 02 Jan 2006 15:04:06 GMT"}}, "Mon, 02 Jan 2006 15:04:05 GMT"},
		{http.Header{"Etag": {`W/"x"`}, "Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"}, "Date": {"Mon, 02 Jan 2006 16:04:06 GMT"}}, ""},
	} {
		if got := validator(c.h); got != c.want {
			t.Errorf("%v: %q", c.h, got)
		}
	}
}

func TestRetryAfter_IsSecondsOrADate(t *testing.T) {
	now := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		"-1":                            0,
		"99999999999999999999":          0,
		"soon":                          0,
		"Mon, 02 Jan 2006 15:05:05 GMT": time.Minute,
		"Mon, 02 Jan 2006 15:03:05 GMT": 0,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

func TestTries_WaitTwiceAsLongAndHonourTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := tries{o: HTTPOptions{Attempts: 100}.withDefaults()}
		wait := func(err error) time.Duration {
			start := time.Now()
			if err := tr.next(t.Context(), err, true); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		for _, want := range []time.Duration{200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
			if got := wait(errors.New("cut")); got != want*time.Millisecond {
				t.Errorf("waited %v, want %v ms", got, int(want))
			}
		}
		if got := wait(&StatusError{StatusCode: 503, RetryAfter: 30 * time.Second}); got != 30*time.Second {
			t.Errorf("waited %v for Retry-After: 30", got)
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		start := time.Now()
		if err := tr.next(ctx, errors.New("cut"), true); err != why || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestWatchdog_BarksOnlyWhileItWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		barks := 0
		w := &watchdog{d: time.Minute, bark: func() { barks++ }}
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		w.progress()
		pass(time.Hour)
		w.watch()
		for range 10 {
			pass(59 * time.Second)
			w.progress()
		}
		w.rest()
		w.progress()
		pass(time.Hour)
		if barks != 0 {
			t.Fatalf("%d barks", barks)
		}
		w.watch()
		pass(time.Minute)
		if barks != 1 {
			t.Errorf("%d barks after a minute of nothing", barks)
		}
	})
}
