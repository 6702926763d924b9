package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-go/weir"
)

const size = 8 << 20

func hugeFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "huge-file.mp4")
	if err := os.WriteFile(path, bytes.Repeat([]byte("01234567"), size/8), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// In a bubble the client's time passes only when nobody else can go on, so
// that both sides show all they can pile up.
func TestBounded_HoldsItsLimitAndUnboundedTheFile(t *testing.T) {
	path := hugeFile(t)
	synctest.Test(t, func(t *testing.T) {
		client := &slowClient{rate: 64 << 20}
		held, err := unbounded(t.Context(), path, client)
		if err != nil || client.got != size {
			t.Fatalf("unbounded delivered %d bytes of %d: %v", client.got, size, err)
		}
		if held < size*9/10 {
			t.Errorf("the queue held %d bytes, want nearly all of %d", held, size)
		}

		client = &slowClient{rate: 64 << 20}
		held, err = bounded(t.Context(), path, client)
		if err != nil || client.got != size {
			t.Fatalf("bounded delivered %d bytes of %d: %v", client.got, size, err)
		}
		if held > 256<<10 {
			t.Errorf("the pipe held %d bytes, more than its limit", held)
		}
	})
}

var errGone = errors.New("client has gone")

type goneClient struct{}

func (goneClient) Write([]byte) (int, error) { return 0, errGone }

func TestBoundedAndUnbounded_EndWhenTheClientGoes(t *testing.T) {
	path := hugeFile(t)
	for name, send := range map[string]func(context.Context, string, io.Writer) (int64, error){
		"unbounded": unbounded, "bounded": bounded,
	} {
		if _, err := send(t.Context(), path, goneClient{}); !errors.Is(err, errGone) {
			t.Errorf("%s: error is %v", name, err)
		}
		if _, err := send(t.Context(), path+".absent", io.Discard); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s of a missing file: error is %v", name, err)
		}
	}
}

func TestRun_PrintsBoth(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, 4<<20, 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"unbounded  delivered 4 MiB", "bounded    delivered 4 MiB", weir.FormatBytes(1<<30) + "/s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}
