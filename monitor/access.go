package monitor

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// Local reports whether a request comes from this machine itself and names it:
// its client has a loopback address or a Unix socket, no proxy has added a header
// to it, and its Host is localhost, a loopback address or the name of this
// machine. A page of another site cannot make a browser send such a request and
// read the answer, also not through DNS rebinding. It is the default access rule
// of a [Handler].
func Local(r *http.Request) bool {
	if forwarded(r.Header) || foreign(r.Header) {
		return false
	}
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() == "unix" {
		return true // no browser can reach it, and its permissions keep other users out
	}
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !client.Addr().Unmap().IsLoopback() {
		return false
	}
	return namesThisMachine(r.Host)
}

// proxyHeaders are set by proxies. Their presence means that the client may be
// elsewhere.
var proxyHeaders = []string{
	"Forwarded", "Via", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fly-Client-Ip", "Fastly-Client-Ip",
	"X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For", "X-Original-Host", "X-Envoy-External-Address",
	"X-Appengine-User-Ip", "X-Azure-Clientip", "X-Proxyuser-Ip", "X-Remote-Addr", "X-Remote-Ip",
}

func forwarded(h http.Header) bool {
	for _, name := range proxyHeaders {
		if _, ok := h[name]; ok {
			return true
		}
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Forwarded") {
			return true
		}
	}
	return false
}

// foreign reports whether a browser says that a page of another origin sent the
// request, which is not a visit of the page itself. It could not read the answer,
// but it could take the places of viewers.
func foreign(h http.Header) bool {
	switch h.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return h.Get("Sec-Fetch-Mode") != "navigate" || h.Get("Sec-Fetch-Dest") != "document"
}

// namesThisMachine reports whether the Host of a request is this machine.
func namesThisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	if host == "localhost" {
		return true
	}
	name, err := os.Hostname()
	if err != nil || host == "" {
		return false
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	short, _, _ := strings.Cut(name, ".")
	return host == name || host == short
}
