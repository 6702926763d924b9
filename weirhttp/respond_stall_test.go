package weirhttp

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// noise yields bytes that do not get fewer, and counts them.
type noise struct {
	*rand.ChaCha8
	given *atomic.Int64
}

func (s noise) Read(p []byte) (int, error) {
	n, err := s.ChaCha8.Read(p)
	s.given.Add(int64(n))
	return n, err
}

// TestRespond_CompressedStreamWaitsForItsClient counts what its source has given away,
// which is held somewhere.
func TestRespond_CompressedStreamWaitsForItsClient(t *testing.T) {
	atOnce(t)
	const size, most = 64 << 20, 4 << 20
	for _, coding := range []string{"gzip", "zstd"} {
		for _, flush := range []time.Duration{0, -1} {
			t.Run(coding+" "+flush.String(), func(t *testing.T) {
				var given atomic.Int64
				s := guarded(t, &Guard{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					source := noise{rand.NewChaCha8([32]byte{}), &given}
					Response{Type: "text/plain", Flush: flush}.Send(w, r, weir.FromReader(io.LimitReader(source, size)))
				}))
				c := s.dial(t, 64<<10)
				resp := ask(t, c, bufio.NewReader(c), "/", "Accept-Encoding", coding)
				if resp.Header.Get("Content-Encoding") != coding {
					t.Fatalf("the answer is %v", resp.Header)
				}
				// It has come to rest when it waits for its client and has given
				// nothing for some looks. One that holds nothing back never does.
				last, same := int64(-1), 0
				eventually(t, func() bool {
					l, now := s.g.Transfers.List(), given.Load()
					if same++; now != last || len(l) != 1 || l[0].State != StateClient {
						last, same = now, 0
					}
					return same == 50 || now > most
				}, "the stream does not wait for its client")
				if n := given.Load(); n > most {
					t.Errorf("the source has given %d bytes to a client that takes none", n)
				}
				// It goes on when its client does.
				if n, err := io.CopyN(io.Discard, resp.Body, 2*most); err != nil {
					t.Errorf("%d bytes came, %v", n, err)
				}
			})
		}
	}
}
