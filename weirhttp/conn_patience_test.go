package weirhttp

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestConn_BodyThatIsReadLateIsThere has a handler that looks at the body after
// longer than a client may be silent.
func TestConn_BodyThatIsReadLateIsThere(t *testing.T) {
	atOnce(t)
	const stall = 200 * time.Millisecond
	for name, read := range map[string]bool{"read late": true, "never read": false} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, &Guard{Stall: stall}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(2 * stall):
				case <-r.Context().Done():
					t.Error("the request is over before it is answered")
				}
				if read {
					n, err := io.Copy(io.Discard, r.Body)
					if n != 100<<10 || err != nil {
						t.Errorf("%d bytes, %v", n, err)
					}
				}
				w.WriteHeader(http.StatusTeapot)
			}))
			c := s.dial(t, 0)
			b := bufio.NewReader(c)
			for range 2 { // over one connection
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 102400\r\n\r\n"+strings.Repeat("x", 100<<10))
				resp, err := http.ReadResponse(b, nil)
				if err != nil || resp.StatusCode != http.StatusTeapot || resp.Close {
					t.Fatal(resp, err)
				}
			}
		})
	}
}
