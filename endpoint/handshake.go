package endpoint

import (
	"crypto/tls"
	"errors"
	"net/http"
	"syscall"

	"github.com/weir-go/weir/internal/errno"
)

// isHandshake reports whether both sides could not agree on how to talk.
func isHandshake(err error) bool {
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.As(err, &cert) || errors.As(err, &alert) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch)
}

// isRefused reports whether nobody listens.
func isRefused(err error) bool { return errno.Is(err, syscall.ECONNREFUSED) }
