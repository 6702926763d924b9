package main

import (
	"crypto/tls"
	"net/http"
	"sync/atomic"

	"github.com/weir-go/weir/weirhttp/auth"
)

// reloading is something that a SIGHUP makes serve read again.
type reloading struct {
	what string
	load func() error // after an error the old one stays
}

// userGate lets pass to h the users of --auth, and reads their file again at a
// reload. Wrong passwords are counted anew from then on.
func (s *serving) userGate(h http.Handler) (http.Handler, error) {
	var users atomic.Pointer[auth.Users]
	load := func() error {
		u, err := readUsers(s.users)
		if err != nil {
			return err
		}
		u.Uploads = "/_upload"
		users.Store(u)
		return nil
	}
	if err := load(); err != nil {
		return nil, err
	}
	s.reloads = append(s.reloads, reloading{"users", load})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		users.Load().Handler(h).ServeHTTP(w, r)
	}), nil
}

// certificate is the configuration with the certificate of --tls-cert, which is
// read again at a reload. Connections that are open keep the one they have.
func (s *serving) certificate() (*tls.Config, error) {
	var current atomic.Pointer[tls.Certificate]
	load := func() error {
		cert, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return err
		}
		current.Store(&cert)
		return nil
	}
	if err := load(); err != nil {
		return nil, err
	}
	s.reloads = append(s.reloads, reloading{"certificate", load})
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }}, nil
}

// reload reads users and certificate again.
func (s *serving) reload() {
	log := s.logger()
	if len(s.reloads) == 0 {
		log.Info("hung up (SIGHUP): no users and no certificate to reload")
	}
	for _, r := range s.reloads {
		if err := r.load(); err != nil {
			log.Error("cannot reload; the old one stays in use", "what", r.what, "error", err.Error())
			continue
		}
		log.Info("reloaded", "what", r.what)
	}
}
