package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// ask sends a request and returns the status, and Retry-After.
func ask(h http.Handler, method, path, addr, name, password string) (int, string) {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = addr
	r.SetBasicAuth(name, password)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Header().Get("Retry-After")
}

func cheapUsers(t *testing.T) *Users {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	u, err := Parse(strings.NewReader(fmt.Sprintf("ann:%s:rw\nbob:%s:rw\nguest:%s:r\nbox:%s:w\n", h, h, h, h)))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestTries_WrongPasswordsMakeTheirAddressWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := cheapUsers(t).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		expect := func(addr, name, password string, status int, retry string) {
			t.Helper()
			if got, after := ask(h, "GET", "/", addr, name, password); got != status || after != retry {
				t.Fatalf("%s by %s with %s: %d, Retry-After %q; want %d, %q", addr, name, password, got, after, status, retry)
			}
		}
		const a, b = "[2001:db8::1]:1", "[2001:db8::ffff:2]:2" // one network
		expect(a, "ann", "sesame", 200, "")
		for range freeTries {
			expect(a, "bob", "wrong", 401, "")
		}
		expect(b, "bob", "sesame", 429, "1") // a guess is not looked at
		expect(a, "ann", "sesame", 200, "")  // what is known to be right is no guess
		expect("[2001:db8:0:1::1]:1", "bob", "sesame", 200, "")
		expect("192.0.2.1:1", "guest", "sesame", 200, "")
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			time.Sleep(time.Duration(seconds)*time.Second - time.Millisecond)
			expect(b, "ann", "wrong", 429, "1")
			time.Sleep(time.Millisecond)
			expect(b, "ann", "wrong", 401, "")
		}
		time.Sleep(forgetAfter + time.Second)
		for range freeTries {
			expect(a, "box", "wrong", 401, "")
		}
		expect(a, "box", "wrong", 429, "1")
	})
}

func TestTries_ClientThatLeavesWaitsForNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := cheapUsers(t)
		for range cap(u.turns) {
			u.turns <- struct{}{} // others are checked
		}
		h := u.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it came in") }))
		ctx, leave := context.WithCancel(t.Context())
		w, ended := httptest.NewRecorder(), make(chan struct{})
		go func() {
			defer close(ended)
			r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
			r.SetBasicAuth("ann", "sesame")
			h.ServeHTTP(w, r)
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		select {
		case <-ended:
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("the answer is %d", w.Code)
			}
		default:
			t.Error("it waits on")
			<-u.turns
			<-ended
		}
	})
}

func TestTries_TableOfTriesIsBounded(t *testing.T) {
	all, now := tries{}, time.Now()
	for i := range 2 * mostTries {
		all.add(fmt.Sprint(i), now.Add(time.Duration(i)))
	}
	if _, there := all[fmt.Sprint(2*mostTries-1)]; len(all) != mostTries || !there {
		t.Errorf("%d addresses, the last among them: %v", len(all), there)
	}
}

func TestTries_UnknownNamesCostAsMuchAsTheSlowestHash(t *testing.T) {
	slow, err := bcrypt.GenerateFromPassword([]byte("x"), 7)
	if err != nil {
		t.Fatal(err)
	}
	const argon = "$argon2id$v=19$m=%d,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3Vtc3Vt"
	for _, hashes := range [][2]string{
		{string(slow), fmt.Sprintf(argon, 1<<10)}, {fmt.Sprintf(argon, 64<<10), string(slow)}, {fmt.Sprintf(argon, 32), fmt.Sprintf(argon, 16)},
	} {
		for _, order := range [][2]int{{0, 1}, {1, 0}} {
			u, err := Parse(strings.NewReader("ann:" + hashes[order[0]] + ":r\nbob:" + hashes[order[1]] + ":r\n"))
			if err != nil {
				t.Fatal(err)
			}
			if want, _ := parseHash(hashes[0]); u.dummy.cost() != want.cost() {
				t.Errorf("%v: unknown names are checked against the cheaper one", hashes)
			}
		}
	}
}

func TestTries_RightsForUploadsGoByPath(t *testing.T) {
	u := cheapUsers(t)
	h := u.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		method, path string
		guest, box   int // who reads, and who writes
	}{
		{"HEAD", "/up/x", 403, 200}, {"HEAD", "/up", 403, 200}, {"HEAD", "/upper", 200, 403}, {"HEAD", "/a/up/x", 200, 403},
		{"GET", "/up/x", 403, 200}, {"GET", "/up/", 403, 200}, {"GET", "/upper", 200, 403}, {"GET", "/", 200, 403},
		{"HEAD", "/up/..%2Fx", 403, 200}, {"GET", "/up/..%2F..%2Fx", 403, 200}, {"GET", "/%75p/..%2Fx", 403, 200},
		{"GET", "//up/x", 403, 200}, {"GET", "/a/../up/x", 403, 200},
		{"OPTIONS", "/up/", 200, 200}, {"OPTIONS", "/a", 200, 200}, {"PATCH", "/up/x", 403, 200},
	} {
		for _, u.Uploads = range []string{"/up", "/up/"} {
			if got, _ := ask(h, c.method, c.path, "192.0.2.1:1", "guest", "sesame"); got != c.guest {
				t.Errorf("%s %s by a reader, uploads at %s: %d, want %d", c.method, c.path, u.Uploads, got, c.guest)
			}
			if got, _ := ask(h, c.method, c.path, "192.0.2.1:1", "box", "sesame"); got != c.box {
				t.Errorf("%s %s by a writer, uploads at %s: %d, want %d", c.method, c.path, u.Uploads, got, c.box)
			}
		}
	}
}
