package weirhttp

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestForm_IsNotHeldInMemoryOrTwiceOnTheDisk looks at the heap, and at where
// others put the files of forms, while a large one comes.
func TestForm_IsNotHeldInMemoryOrTwiceOnTheDisk(t *testing.T) {
	const size, most = 64 << 20, 12 << 20
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	in := newInbox(t, &Uploads{})
	c, err := net.Dial("tcp", in.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := "--B\r\nContent-Disposition: form-data; name=f; filename=large\r\n\r\n"
	tail := "\r\n--B--\r\n"
	fmt.Fprintf(c, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(head)+size+len(tail), head)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	piece := []byte(pattern(1 << 20))
	before := heap()
	for i := range size / len(piece) {
		if _, err := c.Write(piece); err != nil {
			t.Fatal(err)
		}
		if i%8 == 7 {
			// The rest of what was sent may still be in the kernel.
			if grown := heap() - before; grown > most {
				t.Errorf("the heap has grown by %d bytes when %d were sent", grown, (i+1)*len(piece))
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("%d files are somewhere else, %v", len(left), err)
			}
		}
	}
	io.WriteString(c, tail)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Errorf("the answer is %s", resp.Status)
	}
	if info, err := os.Stat(filepath.Join(in.u.Dir, "large")); err != nil || info.Size() != size {
		t.Errorf("the file: %v, %v", info, err)
	}
}
