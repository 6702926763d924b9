package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// httpRows measure servers beside each other. Every round starts its server
// anew; clients are processes of their own.
func httpRows(e *env) []row {
	h := &httpBench{e: e, big: int64(e.size(1<<30, 256<<20)), many: int64(e.size(256<<20, 64<<20))}
	rows := h.slowRows(1000)
	if !e.quick {
		rows = append(rows, h.slowRows(9000)...)
	}
	rows = append(rows, h.fastRows()...)
	rows = append(rows, h.uploadRows()...)
	return append(rows, h.leaveRows()...)
}

// httpBench has the settings that the HTTP rows share.
type httpBench struct {
	e    *env
	big  int64 // size of the file for one download or upload
	many int64 // size of each file for many at once
}

func (h *httpBench) file(size int64) string { return fmt.Sprintf("logs-%dM", size>>20) }
func (h *httpBench) path(size int64) string { return "/" + h.file(size) }

// prepare builds the command and makes the files.
func (h *httpBench) prepare(ctx context.Context, e *env) error {
	var most syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most); err != nil {
		return err
	}
	most.Cur = most.Max // for the children too
	_, big := e.logs(h.big)
	_, many := e.logs(h.many)
	return errors.Join(big, many, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &most),
		os.WriteFile(e.path("small"), logBlock(4<<10), 0o666), buildWeir(ctx, e.path("weir")))
}

// slowRows measure many slow clients of one file, and a fast one among them.
func (h *httpBench) slowRows(n int) []row {
	e := h.e
	names := []string{srvWeir, srvWeirLib, srvContent, srvNginx, srvCaddy, srvNode}
	rs := newRuns(func(ctx context.Context, e *env, name string) (figures, error) { return h.slow(ctx, name, n) })
	make1 := func(figure, title string, u unit, targets ...target) row {
		return row{
			name: fmt.Sprintf("http-slow-%d-%s", n, figure), title: fmt.Sprintf("%d slow clients: %s", n, title),
			unit: u, base: srvWeir, most: e.size(3, 1), prepare: h.prepare,
			contenders: rs.show(figure, names, absentServer), targets: targets,
		}
	}
	rows := []row{
		make1("memory", "resident memory for each", kibibytes,
			atMost(srvWeir, 0.65, srvNginx), atMost(srvWeir, 0.2, srvContent), atMost(srvWeir, 0.04, srvNode)),
		make1("queue", "bytes in the kernel's send queue for each", kibibytes, below(srvWeir, 32, "KiB")),
		make1("descriptors", "descriptors of the server for each", percent, below(srvWeir, 101, "% of the clients")),
		make1("delivered", "part of what they asked for that they got", percent, atLeast(srvWeir, 98, "% of what was asked")),
	}
	if n == 1000 {
		rows = append(rows, make1("bystander", "speed of a fast client among them, of what it is alone", percent,
			atLeast(srvWeir, 90, "% of alone")))
	}
	rate := "10 to 20 KB/s"
	if n > 1000 {
		rate = "10 KB/s"
	}
	rows[0].notes = []string{"They read at " + rate + " with a receive buffer of 16 KiB. Memory is what the server has beyond that of the start, when all have read for some seconds."}
	return rows
}

// slow measures a server with n slow clients.
func (h *httpBench) slow(ctx context.Context, name string, n int) (figures, error) {
	e := h.e
	s, err := startServer(ctx, e, name, wish{})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	fast := func() (float64, error) {
		var speeds []float64
		for range 15 { // each is short, and noise is not
			took, err := drive(ctx, "http-fast", s.addr, h.path(h.big), "1", fmt.Sprint(h.big))
			if err != nil {
				return 0, err
			}
			speeds = append(speeds, float64(h.big)/took)
		}
		return median(speeds), nil
	}
	if _, err := drive(ctx, "http-fast", s.addr, "/small", "1", fmt.Sprint(4<<10)); err != nil {
		return nil, err
	}
	files, err := s.idle(ctx)
	if err != nil {
		return nil, err
	}
	base, err := residentOf(s.pid, "VmRSS")
	if err != nil {
		return nil, err
	}
	w := slowWish{clients: n, least: 10_000, most: 20_000, settle: e.size(10, 5), window: e.size(20, 8), wait: true}
	if n > 1000 {
		w.most = w.least
	}
	slow, err := startSlow(ctx, s.addr, h.path(h.big), w)
	if err != nil {
		return nil, err
	}
	defer slow.kill()
	told, err := slow.phase("window")
	if err != nil {
		return nil, err
	}
	rss, rerr := residentOf(s.pid, "VmRSS")
	conns, queued, qerr := sendQueues(s.port)
	open, oerr := openFiles(s.pid)
	if err := errors.Join(rerr, qerr, oerr); err != nil {
		return nil, err
	}
	f := figures{
		"memory":      float64(rss-base) / 1024 / float64(n),
		"queue":       float64(queued) / 1024 / float64(max(conns, 1)),
		"descriptors": 100 * float64(open-files) / float64(n),
		"delivered":   100 * told.Delivered,
	}
	if n > 1000 {
		return f, nil
	}
	with, err := fast()
	if err != nil {
		return nil, err
	}
	if _, err := slow.finish(); err != nil {
		return nil, err
	}
	if _, err := s.idle(ctx); err != nil {
		return nil, err
	}
	alone, err := fast()
	if err != nil {
		return nil, err
	}
	f["bystander"] = 100 * with / alone
	return f, nil
}
