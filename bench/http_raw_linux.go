package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// The clients work on bare sockets, so that the server is the bottleneck and
// not they.

// dialRaw connects a blocking socket. receive, if not 0, is the size of its
// receive buffer.
func dialRaw(addr string, receive int) (int, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if receive > 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receive)
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connecting to %s: %w", addr, err)
	}
	return fd, nil
}

func sendRaw(fd int, text string) error {
	for b := []byte(text); len(b) > 0; {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func recvRaw(fd int, b []byte, flags int) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, b, flags)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		return n, err
	}
}

// response is the head of an answer.
type response struct {
	status int
	length int64 // -1: not known
	head   string
	body   int // how many bytes of the body were read with the head
}

// readHead reads the head of an answer.
func readHead(fd int, buf []byte) (response, error) {
	have := 0
	for have < len(buf) {
		n, err := recvRaw(fd, buf[have:], 0)
		if err != nil {
			return response{}, err
		}
		have += n
		if end := bytes.Index(buf[:have], []byte("\r\n\r\n")); end >= 0 {
			r := parseHead(string(buf[:end]))
			r.body = have - end - 4
			return r, nil
		}
	}
	return response{}, errors.New("the head of an answer is too long")
}

func parseHead(head string) response {
	r := response{head: head, length: -1}
	if len(head) > 12 {
		r.status, _ = strconv.Atoi(head[9:12])
	}
	if v := headerOf(head, "Content-Length"); v != "" {
		r.length, _ = strconv.ParseInt(v, 10, 64)
	}
	return r
}

// headerOf returns the value of a header.
func headerOf(head, name string) string {
	for line := range bytes.SplitSeq([]byte(head), []byte("\r\n")) {
		if k, v, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(k, []byte(name)) {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// discardBody takes the rest of a body without copying it out of the kernel.
func discardBody(fd int, r response, buf []byte) error {
	rest := r.length - int64(r.body)
	for rest > 0 {
		n, err := recvRaw(fd, buf[:min(int64(len(buf)), rest)], unix.MSG_TRUNC)
		if err != nil {
			return fmt.Errorf("%d bytes before the end: %w", rest, err)
		}
		rest -= int64(n)
	}
	return nil
}
