package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"time"
)

// tls is what the flags ask for, nil if that is no TLS.
func (s *serving) tls() (*tls.Config, error) {
	switch {
	case s.selfSigned:
		cert, err := selfSigned(s.listen, s.hosts)
		if err != nil {
			return nil, &failure{code: exitFailed, text: "cannot make a certificate: " + err.Error()}
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}}, nil
	case s.cert != "" && s.key != "":
		c, err := s.certificate()
		if err != nil {
			return nil, &failure{code: exitUsage, text: "cannot use the certificate: " + err.Error(), try: "--tls-self-signed"}
		}
		return c, nil
	case s.cert != "" || s.key != "":
		return nil, &failure{code: exitUsage, text: "--tls-cert and --tls-key belong together", try: "--tls-self-signed, for a certificate made now"}
	}
	return nil, nil
}

// selfSigned makes a certificate for the names of this machine. It is good for
// a week and is never written down.
func selfSigned(listen string, hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "weir serve"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(7 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if name, err := os.Hostname(); err == nil {
		t.DNSNames = append(t.DNSNames, name)
	}
	for _, name := range hosts {
		if name = plainHost(name); name != "*" {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
