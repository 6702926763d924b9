package auth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/weir-go/weir/weirhttp/auth"
)

func users(t *testing.T) *auth.Users {
	t.Helper()
	argon, err := auth.Hash("open sesame")
	if err != nil {
		t.Fatal(err)
	}
	bc, err := bcrypt.GenerateFromPassword([]byte("only look"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	u, err := auth.Parse(strings.NewReader(fmt.Sprintf("# users\n\nann:%s:rw\nbob:%s:r\ncam:%s:w\n", argon, bc, bc)))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUsers_RightsAreThoseOfTheUser(t *testing.T) {
	h := users(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	for i, c := range []struct {
		method, name, password string
		want                   int
	}{
		{"GET", "", "", 401}, {"GET", "ann", "wrong", 401}, {"GET", "ann", "", 401}, {"GET", "nobody", "open sesame", 401},
		{"GET", "ann", "open sesame", 200}, {"PUT", "ann", "open sesame", 200}, {"GET", "bob", "only look", 200},
		{"HEAD", "bob", "only look", 200}, {"PUT", "bob", "only look", 403}, {"DELETE", "bob", "only look", 403},
		{"GET", "cam", "only look", 403}, {"POST", "cam", "only look", 200}, {"GET", "bob", "open sesame", 401},
	} {
		for _, bearer := range []bool{false, true} {
			for range 2 { // the second time it is known
				r := httptest.NewRequest(c.method, "/", nil)
				r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i) // few tries each
				if c.name != "" && bearer {
					r.Header.Set("Authorization", "bearer "+c.name+"."+c.password)
				} else if c.name != "" {
					r.SetBasicAuth(c.name, c.password)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != c.want {
					t.Errorf("%s by %q with %q, bearer %v: %d, want %d", c.method, c.name, c.password, bearer, w.Code, c.want)
				}
				if w.Code == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic realm=") {
					t.Error("401 does not say how to ask")
				}
			}
		}
	}
}

func TestUsers_WrongFilesAreRefusedWithTheLine(t *testing.T) {
	good, err := auth.Hash("x")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", "# nobody\n", "ann\n", "ann:" + good + "\n", "ann:secret:rw\n", "ann:" + good + ":x\n",
		"ann:" + good + ":r\nann:" + good + ":r\n", "a.b:" + good + ":r\n", ":" + good + ":r\n",
		"ann:$2a$31$abc:r\n", "ann:$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3Vt:r\n",
		"ann:$argon2id$v=19$m=8,t=1,p=1$$:r\n", "ann:$argon2id$v=16$m=8,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3Vt:r\n",
	} {
		if _, err := auth.Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q was accepted", text)
		} else if strings.Contains(text, ":") && !strings.Contains(err.Error(), "line ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCredentials_AreThoseThatTheClientSent(t *testing.T) {
	for header, want := range map[string][3]string{
		"Basic YW5uOm9wZW4gc2VzYW1l": {"ann", "open sesame", "true"},
		"Bearer ann.open":            {"ann", "open", "true"},
		"bearer ann.open":            {"ann", "open", "true"},
		"Bearer ann":                 {"ann", "", "false"},
		"Digest ann.open":            {"", "", "false"},
		"":                           {"", "", "false"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		name, password, ok := auth.Credentials(r)
		if got := [3]string{name, password, fmt.Sprint(ok)}; got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
