package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// drive runs one of the client processes below and returns the seconds it took,
// as it says itself.
func drive(ctx context.Context, name string, args ...string) (float64, error) {
	argv := child(name, args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	var s said
	err := json.Unmarshal(out.Bytes(), &s)
	return s.Value, err
}

// fastClients download a file at once, as fast as they get it. Arguments:
// address, path, how many, length of the file.
func fastClients(args []string) error {
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return err
	}
	fds := make([]int, n)
	for i := range fds {
		if fds[i], err = dialRaw(args[0], 0); err != nil {
			return err
		}
	}
	errs := make([]error, n)
	start := time.Now()
	var wg sync.WaitGroup
	for i, fd := range fds {
		wg.Go(func() { errs[i] = download(fd, args[1], size) })
	}
	wg.Wait()
	took := time.Since(start).Seconds()
	return errors.Join(errors.Join(errs...), say(said{Value: took}))
}

func download(fd int, path string, size int64) error {
	if err := sendRaw(fd, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	r, err := readHead(fd, buf[:4<<10])
	if err != nil {
		return err
	}
	if r.status != 200 || r.length != size {
		return fmt.Errorf("GET %s: status %d, length %d, want %d", path, r.status, r.length, size)
	}
	return discardBody(fd, r, buf)
}

// smallClients ask for a small file again and again, over connections that they
// keep. Arguments: address, path, how many connections, how many requests.
func smallClients(args []string) error {
	conns, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	requests, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	request := []byte("GET " + args[1] + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	// Bytes left of an answer, for each descriptor. 0: its head.
	left := map[int]int64{}
	for range conns {
		fd, err := dialRaw(args[0], 0)
		if err != nil {
			return err
		}
		left[fd] = 0
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return err
		}
	}
	start := time.Now()
	for fd := range left {
		if err := sendRaw(fd, string(request)); err != nil {
			return err
		}
	}
	buf := make([]byte, 64<<10)
	events := make([]unix.EpollEvent, conns)
	for done := 0; done < requests; {
		n, err := unix.EpollWait(ep, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			fd := int(ev.Fd)
			k, err := recvRaw(fd, buf, 0)
			if err != nil {
				return err
			}
			if left[fd] == 0 {
				end := bytes.Index(buf[:k], []byte("\r\n\r\n"))
				if end < 0 || !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
					return fmt.Errorf("an unexpected answer: %q", buf[:min(k, 200)])
				}
				length := parseHead(string(buf[:end])).length
				if length < 1 {
					return errors.New("an answer without a length")
				}
				left[fd] = length + int64(end) + 4
			}
			if left[fd] -= int64(k); left[fd] > 0 {
				continue
			}
			if left[fd] < 0 {
				return errors.New("an answer is too long")
			}
			done++
			if _, err := unix.Write(fd, request); err != nil {
				return err
			}
		}
	}
	return say(said{Value: time.Since(start).Seconds()})
}

// putClient uploads a file with sendfile. Arguments: address, path, file, "put"
// or "tus". The time of tus includes the request that creates the upload.
func putClient(args []string) error {
	addr, path := args[0], args[1]
	f, err := os.Open(args[2])
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	fd, err := dialRaw(addr, 0)
	if err != nil {
		return err
	}
	start := time.Now()
	method, more, want := "PUT", "", 201
	if args[3] == "tus" {
		if path, err = createTus(fd, addr, path, st.Size()); err != nil {
			return err
		}
		method, want = "PATCH", 204
		more = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n", method, path, addr, more, st.Size())
	if err := sendRaw(fd, head); err != nil {
		return err
	}
	for left := st.Size(); left > 0; {
		n, err := unix.Sendfile(fd, int(f.Fd()), nil, int(min(left, 1<<30)))
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("%d bytes before the end: %w", left, err)
		}
		left -= int64(max(n, 0))
	}
	r, err := readHead(fd, make([]byte, 8<<10))
	if err != nil {
		return err
	}
	if r.status != want {
		return fmt.Errorf("%s %s: %s", method, path, r.head)
	}
	return say(said{Value: time.Since(start).Seconds()})
}

// createTus creates an upload and returns its path.
func createTus(fd int, addr, path string, size int64) (string, error) {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nTus-Resumable: 1.0.0\r\nUpload-Length: %d\r\nContent-Length: 0\r\n\r\n", path, addr, size)
	if err := sendRaw(fd, head); err != nil {
		return "", err
	}
	r, err := readHead(fd, make([]byte, 8<<10))
	if err != nil {
		return "", err
	}
	at := strings.TrimPrefix(headerOf(r.head, "Location"), "http://"+addr)
	if r.status != 201 || at == "" {
		return "", fmt.Errorf("POST %s: %s", path, r.head)
	}
	return at, nil
}
