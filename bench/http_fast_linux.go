package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

// fastRows measure downloads that are as fast as they can be.
func (h *httpBench) fastRows() []row {
	e := h.e
	names := []string{srvWeir, srvContent, srvFiles, srvNginx, srvCaddy, srvNode}
	one := newRuns(func(ctx context.Context, _ *env, name string) (figures, error) {
		return h.fast(ctx, name, 1, h.big, 3)
	})
	many := newRuns(func(ctx context.Context, _ *env, name string) (figures, error) {
		return h.fast(ctx, name, 16, h.many, 1)
	})
	paced := "The system's congestion control is " + congestion() + "."
	title := fmt.Sprintf("1 download of %d MiB, page cache warm", h.big>>20)
	requests := e.size(400_000, 100_000)
	small := row{
		name: "http-small", title: "files of 4 KiB over 64 connections, for each request", unit: nanoseconds, base: srvWeir, prepare: h.prepare,
		targets: []target{faster(srvWeir, 1.3, srvFiles)},
	}
	for _, name := range append([]string{srvWeirLib}, names...) {
		small.contenders = append(small.contenders, contender{name: name, absent: absentServer(name), run: func(ctx context.Context, e *env) (sample, error) {
			s, err := startServer(ctx, e, name, wish{})
			if err != nil {
				return sample{}, err
			}
			defer s.stop()
			n := requests
			if name == srvNode || name == srvCaddy {
				n /= 4
			}
			var took float64
			for _, n := range []int{n / 10, n} { // the first warms it up
				if took, err = drive(ctx, "http-small", s.addr, "/small", "64", strconv.Itoa(n)); err != nil {
					return sample{}, err
				}
			}
			return sample{value: took * 1e9 / float64(n), allocs: math.NaN()}, nil
		}})
	}
	return []row{
		{
			name: "http-get", title: title, unit: seconds, bytes: 0, base: srvWeir, prepare: h.prepare,
			contenders: one.show("wall", names, absentServer),
			targets:    []target{faster(srvWeir, 0.95, srvContent), faster(srvWeir, 1, srvNginx), faster(srvWeir, 2, srvCaddy)},
			notes:      []string{"The client discards what it gets in the kernel. Each round is the median of three downloads.", paced},
		},
		{
			name: "http-get-cpu", title: title + ": processor time of the server, for each GB", unit: seconds, base: srvWeir, prepare: h.prepare,
			contenders: one.show("cpu", names, absentServer),
			targets:    []target{atMost(srvWeir, 1.05, srvContent)},
		},
		{
			name: "http-get-16", title: fmt.Sprintf("16 downloads of %d MiB at once", h.many>>20), unit: seconds, base: srvWeir, prepare: h.prepare,
			contenders: many.show("wall", names, absentServer),
			targets:    []target{faster(srvWeir, 1.3, srvContent)},
			notes:      []string{paced},
		},
		small,
	}
}

// fast measures downloads from one server, times times.
func (h *httpBench) fast(ctx context.Context, name string, clients int, size int64, times int) (figures, error) {
	s, err := startServer(ctx, h.e, name, wish{})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	args := []string{s.addr, h.path(size), strconv.Itoa(clients), strconv.FormatInt(size, 10)}
	if _, err := drive(ctx, "http-fast", s.addr, h.path(h.many), "1", strconv.FormatInt(h.many, 10)); err != nil {
		return nil, err
	}
	if !spread() {
		crowded++
	}
	var walls, cpus []float64
	for range times {
		before := cpuOf(s.pid)
		took, err := drive(ctx, "http-fast", args...)
		if err != nil {
			return nil, err
		}
		walls = append(walls, took)
		cpus = append(cpus, (cpuOf(s.pid)-before)/(float64(size)*float64(clients)/1e9))
	}
	return figures{"wall": median(walls), "cpu": median(cpus)}, nil
}

// srvDD writes the file without a server: the speed of the disk.
const srvDD = "dd conv=fsync"

// uploadRows measure an upload of one large file.
func (h *httpBench) uploadRows() []row {
	names := []string{srvWeir, srvWeirLib, srvNginx, srvTusd}
	plain := newRuns(func(ctx context.Context, _ *env, name string) (figures, error) { return h.upload(ctx, name, wish{}) })
	safe := newRuns(func(ctx context.Context, _ *env, name string) (figures, error) {
		if name == srvDD {
			return h.dd(ctx)
		}
		return h.upload(ctx, name, wish{sync: true})
	})
	title := fmt.Sprintf("1 upload of %d MiB", h.big>>20)
	return []row{
		{
			name: "http-put", title: title, unit: seconds, base: srvWeir, prepare: h.prepare,
			contenders: plain.show("wall", names, absentServer),
			notes:      []string{"Neither computes a digest, which weir serve does with --digest. tusd takes one PATCH, and leaves the file under a name of its own."},
		},
		{
			name: "http-put-cpu", title: title + ": processor time of the server, for each GB", unit: seconds, base: srvWeir, prepare: h.prepare,
			contenders: plain.show("cpu", names, absentServer),
			targets: []target{
				atMost(srvWeir, 0.5, srvNginx), atMost(srvWeir, 0.5, srvTusd),
				atMost(srvWeirLib, 0.5, srvNginx), atMost(srvWeirLib, 0.5, srvTusd),
			},
		},
		{
			name: "http-put-memory", title: title + ": by how much the server's resident set grows at most", unit: mebibytes, base: srvWeir, prepare: h.prepare,
			contenders: plain.show("memory", names, absentServer),
			targets:    []target{below(srvWeir, 8, "MiB")},
		},
		{
			name: "http-put-sync", title: title + ", on stable storage when it is answered", unit: seconds, base: srvWeir, prepare: h.prepare,
			contenders: safe.show("wall", []string{srvWeir, srvWeirLib, srvDD}, absentServer),
			targets:    []target{atMost(srvWeir, 1.3, srvDD)},
		},
	}
}

// upload measures one upload to a server.
func (h *httpBench) upload(ctx context.Context, name string, w wish) (figures, error) {
	e := h.e
	s, err := startServer(ctx, e, name, w)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	defer os.RemoveAll(s.uploads)
	how := "put"
	if s.tus {
		how = "tus"
	}
	put := func(file string) (float64, error) {
		path := s.put
		if !s.tus {
			path += "received-" + file
		}
		return drive(ctx, "http-put", s.addr, path, e.path(file), how)
	}
	if _, err := put("small"); err != nil {
		return nil, err
	}
	quiesce(ctx)
	if !spread() {
		crowded++
	}
	rss, err := residentOf(s.pid, "VmRSS")
	if err := errors.Join(err, resetPeak(s.pid)); err != nil {
		return nil, err
	}
	before := cpuOf(s.pid)
	took, err := put(h.file(h.big))
	if err != nil {
		return nil, err
	}
	cpu := cpuOf(s.pid) - before
	peak, err := residentOf(s.pid, "VmHWM")
	if err := errors.Join(err, h.uploaded(s)); err != nil {
		return nil, err
	}
	return figures{"wall": took, "cpu": cpu / (float64(h.big) / 1e9), "memory": float64(peak-rss) / (1 << 20)}, nil
}

// uploaded looks for the large file among the files that a server has stored.
func (h *httpBench) uploaded(s *server) error {
	found := errors.New("the file that was uploaded is not there")
	err := filepath.WalkDir(s.uploads, func(path string, d os.DirEntry, err error) error {
		if err != nil || found == nil || d.IsDir() {
			return err
		}
		if st, err := d.Info(); err != nil || st.Size() != h.big {
			return err
		}
		found = sameBeginning(path, h.e.path(h.file(h.big)))
		return nil
	})
	return errors.Join(err, found)
}

// sameBeginning compares the first MiB of two files. Comparing everything would
// evict the pages of the next round from the processor's caches, and take
// longer than the measurement.
func sameBeginning(a, b string) error {
	return withTwo(a, b, func(x, y io.Reader) error {
		p, q := make([]byte, 1<<20), make([]byte, 1<<20)
		_, err := io.ReadFull(x, p)
		_, err2 := io.ReadFull(y, q)
		if !bytes.Equal(p, q) {
			return errors.New("what was uploaded differs")
		}
		return errors.Join(err, err2)
	})
}

// dd writes the large file to stable storage.
func (h *httpBench) dd(ctx context.Context) (figures, error) {
	quiesce(ctx)
	out := h.e.path("dd-out")
	defer os.Remove(out)
	s, _, err := process(ctx, "dd", "if="+h.e.path(h.file(h.big)), "of="+out, "bs=1M", "conv=fsync", "status=none")
	return figures{"wall": s.value}, err
}
