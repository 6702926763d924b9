package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/weir-go/weir/internal/errno"
)

// dialer connects, and makes connections that let an answer through before the
// failure of the request that it answers.
func dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 30 * time.Second, Control: boundUnsent}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: c, silent: make(chan struct{})}, nil
	}
}

// patientConn holds a failed Write back for as long as there may be something
// left to read. A server that refuses an upload in the middle answers and hangs
// up; net/http forgets the answer if it learns of the broken pipe first.
type patientConn struct {
	net.Conn
	once   sync.Once
	silent chan struct{} // closed when nothing more can be read
}

// patience bounds the wait for a peer that has broken the connection and does
// not end its own side of it.
const patience = time.Second

func (c *patientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.once.Do(func() { close(c.silent) })
	}
	return n, err
}

func (c *patientConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-c.silent:
		case <-timer.C:
		}
	}
	return n, err
}

func (c *patientConn) Close() error {
	c.once.Do(func() { close(c.silent) })
	return c.Conn.Close()
}

// isHandshake reports whether both sides could not agree on how to talk.
func isHandshake(err error) bool {
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.As(err, &cert) || errors.As(err, &alert) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch)
}

// isRefused reports whether nobody listens.
func isRefused(err error) bool { return errno.Is(err, syscall.ECONNREFUSED) }
