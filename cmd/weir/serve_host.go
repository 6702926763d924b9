package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weir-go/weir/internal/deny"
)

// ownHost lets requests pass that name this server by an address or by a name
// of its own. A page whose name is made to lead here (DNS rebinding) is of the
// same origin as this server for its browser, but its requests bear that name.
func ownHost(listen string, more []string, h http.Handler) http.Handler {
	if slices.Contains(more, "*") {
		return h
	}
	names := map[string]bool{"localhost": true}
	for _, name := range more {
		names[plainHost(name)] = true
	}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		names[plainHost(host)] = true
	}
	if name, err := os.Hostname(); err == nil {
		name = plainHost(name)
		short, _, _ := strings.Cut(name, ".")
		names[name], names[short], names[short+".local"] = true, true, true
	}
	var usual atomic.Pointer[string] // the first name that was accepted; a fast path
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u := usual.Load(); u != nil && *u == r.Host {
			h.ServeHTTP(w, r)
			return
		}
		host := plainHost(r.Host)
		_, err := netip.ParseAddr(host)
		// Browsers always send Host; a request without one is not from a browser.
		if err == nil || host == "" || names[host] || strings.HasSuffix(host, ".localhost") {
			name := strings.Clone(r.Host)
			usual.CompareAndSwap(nil, &name)
			h.ServeHTTP(w, r)
			return
		}
		deny.Request(w, r, http.StatusMisdirectedRequest,
			fmt.Sprintf("%.255s is no name of this server: weir serve --host NAME allows one", host))
	})
}

// plainHost is a host without port, brackets, and what does not tell it from others.
func plainHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
