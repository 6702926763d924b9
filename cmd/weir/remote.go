package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir/endpoint"
)

// remoteFlags are the flags for requests to the servers of URLs.
type remoteFlags struct {
	cacert   string
	insecure bool
	headers  []string

	options endpoint.HTTPOptions
}

func (m *remoteFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&m.cacert, "cacert", "", "trust only the certificates in this file (PEM), for https:// and s3://")
	f.BoolVar(&m.insecure, "insecure", false, "accept any certificate: anyone on the way can read and change what is sent")
	f.StringArrayVarP(&m.headers, "header", "H", nil, "add 'NAME: VALUE' to HTTP requests, or those in @FILE; repeatable")
}

// parse makes options of the flags. words are the words of the command line. No
// message contains a value of a header.
func (m *remoteFlags) parse(words []string) error {
	refuse := func(text, try string) error { return &failure{code: exitUsage, text: text, try: try} }
	if m.cacert != "" && m.insecure {
		return refuse("--cacert says what to trust, and --insecure to trust anything", "leave out one of them")
	}
	if m.insecure {
		m.options.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	if m.cacert != "" {
		bundle, err := os.ReadFile(m.cacert)
		if err != nil {
			return refuse(fmt.Sprintf("cannot read the certificates of --cacert %s: %v", m.cacert, innermost(err)), "ls -l "+quoted(m.cacert))
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(bundle) {
			return refuse(fmt.Sprintf("--cacert %s contains no certificate", m.cacert), "a file in PEM format, with BEGIN CERTIFICATE")
		}
		m.options.TLS = &tls.Config{RootCAs: pool}
	}
	if len(m.headers) == 0 {
		return nil
	}
	if err := m.parseHeaders(); err != nil {
		return refuse(err.Error(), "-H 'Authorization: Bearer TOKEN', or -H @FILE")
	}
	if hosts := hostsOf(words); len(hosts) > 1 {
		return refuse(fmt.Sprintf("--header would reach %s and %s", hosts[0], hosts[1]), "copy to a file or through a pipe, with one host in each command")
	}
	return nil
}

// parseHeaders reads the fields of --header.
func (m *remoteFlags) parseHeaders() error {
	m.options.Header = http.Header{}
	for i, field := range m.headers {
		lines, from := []string{field}, fmt.Sprintf("--header %d", i+1)
		if name, ok := strings.CutPrefix(field, "@"); ok {
			text, err := os.ReadFile(name)
			if err != nil {
				return fmt.Errorf("cannot read the headers in %s: %w", name, innermost(err))
			}
			lines, from = strings.FieldsFunc(string(bytes.TrimSpace(text)), func(r rune) bool { return r == '\r' || r == '\n' }), name
		}
		for _, line := range lines {
			name, value, ok := strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			if !ok || !isFieldName(name) || strings.ContainsFunc(value, unicode.IsControl) {
				return fmt.Errorf("a field of %s is not of the form NAME: VALUE", from)
			}
			switch name = http.CanonicalHeaderKey(name); name {
			case "Range", "If-Range", "Accept-Encoding", "Content-Length", "Transfer-Encoding", "Connection", "Expect":
				return fmt.Errorf("%s is a field that weir sets itself", name)
			}
			m.options.Header.Add(name, value)
		}
	}
	return nil
}

// isFieldName reports whether name is a token, as the name of a field must be.
func isFieldName(name string) bool {
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

// hostsOf returns the servers of the URLs among words, each once.
func hostsOf(words []string) (hosts []string) {
	seen := map[string]bool{}
	for _, w := range words {
		u, err := url.Parse(strings.TrimPrefix(w, "tee:"))
		if err != nil || u.Host == "" {
			continue
		}
		if scheme := strings.ToLower(u.Scheme); scheme != "http" && scheme != "https" {
			continue
		}
		if host := strings.ToLower(u.Host); !seen[host] {
			seen[host] = true
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// discreetArgs returns the arguments of a command without secrets: passwords in URLs,
// the fields of -H and --header, which curl and wget have too, and the password behind
// --user.
func discreetArgs(args []string) []string {
	shown := make([]string, len(args))
	hide := func(field string) string {
		name, _, ok := strings.Cut(field, ":")
		if !ok || strings.HasPrefix(field, "@") {
			return field
		}
		return name + ": …"
	}
	for i, a := range args {
		head, field, attached := strings.Cut(a, "=")
		switch {
		case i > 1 && (args[i-1] == "-H" || args[i-1] == "--header"):
			shown[i] = hide(a)
		case i > 0 && attached && head == "--header":
			shown[i] = "--header=" + hide(field)
		case i > 1 && args[i-1] == "--user":
			shown[i] = hide(a)
		case i > 0 && attached && head == "--user":
			shown[i] = "--user=" + hide(field)
		case i > 0 && strings.HasPrefix(a, "-H"):
			shown[i] = "-H" + hide(a[2:])
		default:
			shown[i] = endpoint.Redact(a)
		}
	}
	return shown
}
