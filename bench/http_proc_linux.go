package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpuOf returns the processor time of a process so far, in seconds. The times
// in /proc have steps of 10 ms, and a fast server sends 100 MB in one.
func cpuOf(pid int) float64 {
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|2), &t) != nil {
		return 0
	}
	return float64(t.Nano()) / 1e9
}

// residentOf returns a field of /proc/PID/status in bytes: VmRSS or VmHWM.
func residentOf(pid int, field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return meminfo(text, field+":") << 10, nil
}

// resetPeak makes VmHWM begin anew.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// openFiles returns how many descriptors a process has.
func openFiles(pid int) (int, error) {
	d, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return len(names), err
}

// sendQueues returns how many connections a local port has, and the bytes that
// wait in their send queues: not sent, or sent and not acknowledged.
func sendQueues(port int) (conns int, queued int64, err error) {
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, 0, err
	}
	want := fmt.Sprintf(":%04X", port)
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) < 5 || !strings.HasSuffix(fields[1], want) || fields[3] != "01" {
			continue
		}
		tx, _, _ := strings.Cut(fields[4], ":")
		n, err := strconv.ParseInt(tx, 16, 64)
		if err != nil {
			return 0, 0, err
		}
		conns++
		queued += n
	}
	return conns, queued, nil
}

// congestion returns the name of the congestion control that connections have if
// nobody chooses.
func congestion() string {
	name, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(name))
}
