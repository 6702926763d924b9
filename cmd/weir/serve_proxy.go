package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// proxies are the addresses of --trusted-proxy.
type proxies struct {
	networks []netip.Prefix
	unix     bool // every client of the unix socket
}

// parseProxies reads addresses, networks in CIDR notation, and the word unix.
func parseProxies(list []string) (p proxies, err error) {
	for _, text := range list {
		if text == "unix" {
			p.unix = true
			continue
		}
		n, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			n, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
		}
		if err != nil {
			return p, fmt.Errorf("invalid address or network %q", text)
		}
		p.networks = append(p.networks, n.Masked())
	}
	return p, nil
}

func (p proxies) empty() bool { return len(p.networks) == 0 && !p.unix }

func (p proxies) has(a netip.Addr) bool {
	for _, n := range p.networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// behind wraps h so that the RemoteAddr of a request from a trusted proxy is the address
// of the client, without a port.
//
// A proxy that sets one of X-Forwarded-For and Forwarded passes on the other one as the
// client sent it. If a request has both and they disagree, neither counts.
func (p proxies) behind(h http.Handler) http.Handler {
	if p.empty() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.sent(r) {
			x, xok := p.client(forwardedFor(r.Header.Values("X-Forwarded-For")))
			f, fok := p.client(forwardedBy(r.Header.Values("Forwarded")))
			if !xok {
				x = f
			}
			if (xok || fok) && (!xok || !fok || x == f) {
				with := new(http.Request)
				*with = *r
				with.RemoteAddr = x.String()
				r = with
			}
		}
		h.ServeHTTP(w, r)
	})
}

// sent reports whether a trusted proxy sent r.
func (p proxies) sent(r *http.Request) bool {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() == "unix" {
		return p.unix
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && p.has(from.Addr().Unmap())
}

// client returns the last address of a chain that does not belong to a trusted proxy. Only the
// proxies behind it have vouched for it; a client can send anything before it. A chain of
// proxies alone begins with the client.
func (p proxies) client(chain []string) (client netip.Addr, ok bool) {
	for i := len(chain) - 1; i >= 0; i-- {
		a, err := parseHop(chain[i])
		if err != nil {
			return client, ok // an unknown client
		}
		client, ok = a, true
		if !p.has(a) {
			break
		}
	}
	return client, ok
}

// parseHop reads an address with or without a port.
func parseHop(text string) (netip.Addr, error) {
	text = strings.TrimSpace(text)
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap().WithZone(""), err
}

// forwardedFor returns the addresses in the values of X-Forwarded-For.
func forwardedFor(values []string) (chain []string) {
	for _, v := range values {
		chain = append(chain, strings.Split(v, ",")...)
	}
	return chain
}

// forwardedBy returns the addresses in the values of Forwarded (RFC 7239), "" for an element
// without one.
func forwardedBy(values []string) (chain []string) {
	for _, v := range values {
		for _, element := range cutOutside(v, ',') {
			from := ""
			for _, pair := range cutOutside(element, ';') {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				if strings.EqualFold(name, "for") {
					from = strings.Trim(value, `"`)
				}
			}
			chain = append(chain, from)
		}
	}
	return chain
}

// cutOutside splits text at separators outside of quotation marks.
func cutOutside(text string, separator rune) []string {
	quoted := false
	var parts []string
	begin := 0
	for i, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case r == separator && !quoted:
			parts = append(parts, text[begin:i])
			begin = i + 1
		}
	}
	return append(parts, text[begin:])
}
