package deny_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/deny"
)

func refusing(t *testing.T) net.Conn {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deny.Request(w, r, http.StatusForbidden, "no")
	}))
	t.Cleanup(srv.Close)
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func TestRequest_AnswersAClientThatSendsAllBeforeItReads(t *testing.T) {
	c := refusing(t)
	body := strings.Repeat("x", 64<<20)
	if _, err := io.WriteString(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\n\r\n"+body); err != nil {
		t.Fatalf("sending the body: %v", err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403 ") || !strings.HasSuffix(string(answer), "\r\n\r\nno\n") {
		t.Fatalf("%q, %v", answer, err)
	}
}

func TestRequest_LeavesAClientThatDoesNotSendItsBody(t *testing.T) {
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		c := refusing(t)
		begin := time.Now()
		if _, err := io.WriteString(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"+expect+"\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403 ") {
			t.Fatalf("%q, %v", answer, err)
		}
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("%q: the connection was held for %v", expect, took)
		}
	}
}
