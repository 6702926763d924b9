package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime/trace"
	"sync"
	"time"
)

const (
	traceAge   = 10 * time.Second // the part of the past that a trace is meant to cover
	traceBytes = 8 << 20          // that the recorder aims to hold at most
	traceMost  = 32 << 20         // of a trace that is sent; a larger one is refused
	traceTime  = 5 * time.Minute  // after which the recorder ends if nobody asks
)

// recorder is the flight recorder of the process: the runtime allows one. It runs
// only after a request for it, and ends by itself.
var recorder struct {
	mu    sync.Mutex // held while a trace is collected: one at a time
	fr    *trace.FlightRecorder
	timer *time.Timer
}

// serveTrace starts the recorder for POST, and answers GET with its contents.
func serveTrace(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		// GET from another site is harmless; this is not quite.
		if err := http.NewCrossOriginProtection().Check(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		if err := startTrace(); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		text, err := takeTrace()
		switch {
		case errors.Is(err, errNoTrace):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Disposition", `attachment; filename="weir.trace"`)
			writeBody(w, r, text)
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "use POST to record and GET to save", http.StatusMethodNotAllowed)
	}
}

// startTrace starts the recorder, or lets a running one continue.
func startTrace() error {
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	if recorder.fr != nil {
		recorder.timer.Reset(traceTime)
		return nil
	}
	fr := trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: traceAge, MaxBytes: traceBytes})
	if err := fr.Start(); err != nil {
		return fmt.Errorf("record trace: %w", err)
	}
	recorder.fr, recorder.timer = fr, time.AfterFunc(traceTime, stopTrace)
	return nil
}

// stopTrace ends the recorder, if it runs.
func stopTrace() {
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	if recorder.fr != nil {
		recorder.timer.Stop()
		recorder.fr.Stop()
		recorder.fr = nil
	}
}

var errNoTrace = errors.New("nothing is recorded; use POST to start, and GET within 5 minutes")

// takeTrace returns the contents of the recorder.
func takeTrace() ([]byte, error) {
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	if recorder.fr == nil {
		return nil, errNoTrace
	}
	recorder.timer.Reset(traceTime)
	b := &limited{most: traceMost}
	if _, err := recorder.fr.WriteTo(b); err != nil {
		return nil, fmt.Errorf("save trace: %w", err)
	}
	return b.Bytes(), nil
}

// limited is a buffer with a limit.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > l.most {
		return 0, fmt.Errorf("trace larger than %d MiB", l.most>>20)
	}
	return l.Buffer.Write(p)
}
