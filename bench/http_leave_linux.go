package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// leaveRows measure how servers treat clients that leave early, and clients that
// stall.
func (h *httpBench) leaveRows() []row {
	e := h.e
	times := e.size(300, 60)
	leave := func(kind string, names ...string) row {
		r := row{
			name: "http-leave-get", unit: milliseconds, base: srvWeir, prepare: h.prepare, most: e.size(3, 1),
			title:   "a client leaves in the middle of " + kind + ": until nothing is left of it, 99th percentile",
			targets: []target{below(srvWeir, 10, "ms")},
		}
		for _, name := range names {
			r.contenders = append(r.contenders, contender{name: name, absent: absentServer(name), run: func(ctx context.Context, e *env) (sample, error) {
				v, err := h.leave(ctx, name, kind == "an upload", times)
				return sample{value: v, allocs: math.NaN()}, err
			}})
		}
		if kind == "an upload" {
			r.name = "http-leave-put"
		}
		return r
	}
	aborts := newRuns(func(ctx context.Context, _ *env, name string) (figures, error) {
		return h.aborts(ctx, name, e.size(10_000, 1000))
	})
	both := []string{srvWeir, srvWeirLib}
	title := fmt.Sprintf("%d downloads and as many uploads aborted: ", e.size(10_000, 1000))
	evict := newRuns(h.evict)
	slow := []string{srvWeir, srvContent, srvNginx}
	return []row{
		leave("a download", srvWeir, srvContent, srvNginx),
		leave("an upload", srvWeir, srvNginx),
		{
			name: "http-aborts-left", title: title + "descriptors, goroutines and files left", unit: count, base: srvWeir, prepare: h.prepare, most: e.size(2, 1),
			contenders: aborts.show("left", both, absentServer),
			targets:    []target{never(srvWeir, 0, "left"), never(srvWeirLib, 0, "left")},
			notes:      []string{"The goroutines are those of weirhttp alone, which tells them. Downloads are reset; every second upload is reset, the others are ended by a FIN."},
		},
		{
			name: "http-aborts-memory", title: title + "growth of the resident set", unit: mebibytes, base: srvWeir, prepare: h.prepare, most: e.size(2, 1),
			contenders: aborts.show("memory", both, absentServer),
			targets:    []target{below(srvWeir, 8, "MiB"), below(srvWeirLib, 8, "MiB")},
			notes:      []string{"Beyond what it was after a tenth as many."},
		},
		{
			name: "http-evict-false", title: fmt.Sprintf("%d clients at 10 to 15 KB/s, stall limit %d s: how many are cut", h.healthy(), stallLimit),
			unit: count, base: srvWeir, prepare: h.prepare, most: e.size(2, 1),
			contenders: evict.show("false", slow, absentServer), targets: []target{never(srvWeir, 0, "cut")},
		},
		{
			name: "http-evict-stall", title: fmt.Sprintf("%d clients that read nothing, stall limit %d s: seconds until the last is cut", stalled, stallLimit),
			unit: seconds, base: srvWeir, prepare: h.prepare, most: e.size(2, 1),
			contenders: evict.show("last", slow, absentServer), targets: []target{never(srvWeir, stallLimit+1, "s"), atLeast(srvWeir, stallLimit-0.5, "s")},
			notes: []string{fmt.Sprintf("Measured for %d s; if some were not cut by then, that is shown. A connection counts as cut when the server's side of it is no longer established.", stallWindow)},
		},
	}
}

const (
	stallLimit  = 5
	stallWindow = 10
	stalled     = 50
)

func (h *httpBench) healthy() int { return h.e.size(1000, 200) }

// evict measures which clients a server cuts.
func (h *httpBench) evict(ctx context.Context, e *env, name string) (figures, error) {
	s, err := startServer(ctx, e, name, wish{stall: fmt.Sprintf("%ds", stallLimit)})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	// The server's side of the connections is looked at: one that was closed
	// with much in its queue looks open to a client that does not read.
	open := func() (int, error) { n, _, err := sendQueues(s.port); return n, err }
	stuck, err := startSlow(ctx, s.addr, h.path(h.many), slowWish{clients: stalled, window: 1, wait: true})
	if err != nil {
		return nil, err
	}
	defer stuck.kill()
	if _, err := stuck.phase("connected"); err != nil {
		return nil, err
	}
	begun := time.Now()
	err = until(ctx, stallWindow*time.Second, func() (bool, error) { n, err := open(); return n == 0, err })
	if err != nil && !errors.Is(err, errImpatient) {
		return nil, err
	}
	f := figures{"last": time.Since(begun).Seconds()}
	if _, err := stuck.finish(); err != nil {
		return nil, err
	}
	healthy, err := startSlow(ctx, s.addr, h.path(h.many), slowWish{
		clients: h.healthy(), least: 10_000, most: 15_000, settle: 5, window: e.size(40, 15), wait: true,
	})
	if err != nil {
		return nil, err
	}
	defer healthy.kill()
	told, err := healthy.phase("window")
	if err != nil {
		return nil, err
	}
	n, err := open()
	f["false"] = float64(max(told.Cut, h.healthy()-n))
	return f, err
}

// leave returns how long it takes until nothing is left of a client that went
// away, in milliseconds: the 99th percentile of some.
func (h *httpBench) leave(ctx context.Context, name string, upload bool, times int) (float64, error) {
	const patience = 2 * time.Second
	s, err := startServer(ctx, h.e, name, wish{})
	if err != nil {
		return 0, err
	}
	defer s.stop()
	if _, err := drive(ctx, "http-fast", s.addr, "/small", "1", fmt.Sprint(4<<10)); err != nil {
		return 0, err
	}
	if err := h.abortUpload(s, false); err != nil {
		return 0, err
	}
	base, err := s.idle(ctx)
	if err != nil {
		return 0, err
	}
	took := make([]float64, 0, times)
	for i := range times {
		fd, err := h.begin(s, upload)
		if err != nil {
			return 0, err
		}
		// The connection is one descriptor. The file that is written or read is the
		// other, unless the server had it open already.
		if err := until(ctx, patience/20, func() (bool, error) { n, err := openFiles(s.pid); return n >= base+2, err }); err != nil && !errors.Is(err, errImpatient) {
			return 0, fmt.Errorf("before client %d leaves: %w", i, err)
		}
		start := time.Now()
		unix.Close(fd)
		err = until(ctx, patience, func() (bool, error) {
			n, err := openFiles(s.pid)
			if err != nil || n > base {
				return false, err
			}
			files, err := h.leftovers(s)
			return files == 0, err
		})
		if err != nil && !errors.Is(err, errImpatient) {
			return 0, err
		}
		took = append(took, time.Since(start).Seconds()*1000)
	}
	slices.Sort(took)
	return took[(len(took)*99+99)/100-1], nil
}

var errImpatient = errors.New("it did not happen in time")

// until asks again and again until something holds.
func until(ctx context.Context, patience time.Duration, holds func() (bool, error)) error {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for begun := time.Now(); ; {
		ok, err := holds()
		switch {
		case err != nil:
			return err
		case ok:
			return nil
		case time.Since(begun) > patience:
			return errImpatient
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// begin begins a download or an upload and leaves it in the middle.
func (h *httpBench) begin(s *server, upload bool) (int, error) {
	fd, err := dialRaw(s.addr, 0)
	if err != nil {
		return -1, err
	}
	if upload {
		err = sendRaw(fd, fmt.Sprintf("PUT %saborted HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", s.put, 100<<20, abortedPart))
	} else {
		err = sendRaw(fd, "GET "+h.path(h.big)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err == nil {
			_, err = readHead(fd, make([]byte, 4<<10))
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// abortedPart is the part of an aborted upload that the client sends.
var abortedPart = string(make([]byte, 256<<10))

// leftovers counts the files that a server has in its folders for uploads.
func (h *httpBench) leftovers(s *server) (int, error) {
	n := 0
	for _, dir := range []string{s.uploads, h.e.path("nginx-tmp-body")} {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it went while we looked, or there is no such folder
			}
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (h *httpBench) abortDownload(s *server) error {
	fd, err := h.begin(s, false)
	if err != nil {
		return err
	}
	return unix.Close(fd) // with unread bytes: a reset
}

func (h *httpBench) abortUpload(s *server, reset bool) error {
	fd, err := h.begin(s, true)
	if err != nil {
		return err
	}
	if reset {
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	return errors.Join(err, unix.Close(fd))
}

// aborts measures the resources that a server still holds after many clients have
// left.
func (h *httpBench) aborts(ctx context.Context, name string, n int) (figures, error) {
	s, err := startServer(ctx, h.e, name, wish{})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := h.abortMany(s, n/10); err != nil {
		return nil, err
	}
	before, err := h.inventory(ctx, s, name)
	if err != nil {
		return nil, err
	}
	if err := h.abortMany(s, n); err != nil {
		return nil, err
	}
	after, err := h.inventory(ctx, s, name)
	if err != nil {
		return nil, err
	}
	return figures{
		"left":   after["descriptors"] - before["descriptors"] + after["files"] + after["goroutines"] - before["goroutines"],
		"memory": after["memory"] - before["memory"],
	}, nil
}

func (h *httpBench) abortMany(s *server, n int) error {
	const hands = 16
	errs := make([]error, hands)
	var wg sync.WaitGroup
	for w := range hands {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += hands {
				errs[w] = errors.Join(h.abortDownload(s), h.abortUpload(s, i/hands%2 == 0))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// inventory returns the resources that a server holds when no transfer is running.
func (h *httpBench) inventory(ctx context.Context, s *server, name string) (figures, error) {
	fds, err := s.idle(ctx)
	if err != nil {
		return nil, err
	}
	files, err := h.leftovers(s)
	if err != nil {
		return nil, err
	}
	rss, err := residentOf(s.pid, "VmRSS")
	if err != nil {
		return nil, err
	}
	f := figures{"descriptors": float64(fds), "files": float64(files), "memory": float64(rss) / (1 << 20)}
	if name != srvWeirLib {
		return f, nil
	}
	// Each look is a connection, which leaves goroutines behind for a while.
	last, same := -1.0, 0
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for range 60 {
		n, err := goroutines(s)
		if err != nil {
			return nil, err
		}
		if n != last {
			last, same = n, 0
		} else if same++; same == 5 {
			break
		}
		<-tick.C
	}
	f["goroutines"] = last
	return f, nil
}

// goroutines asks weirhttp alone how many it has.
func goroutines(s *server) (float64, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + s.addr + "/_vars")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	var vars struct {
		Goroutines float64 `json:"goroutines"`
	}
	return vars.Goroutines, json.NewDecoder(r.Body).Decode(&vars)
}
