package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestServe_AddressOfTheClientComesFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	p, err := parseProxies([]string{"127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48", "unix"})
	if err != nil {
		t.Fatal(err)
	}
	const peer = "127.0.0.1:999"
	socket := &net.UnixAddr{Name: "/run/weir.sock", Net: "unix"}
	for _, c := range []struct {
		what, from string
		local      net.Addr
		header     http.Header
		want       string
	}{
		{"no header", peer, nil, nil, peer},
		{"a stranger", "192.0.2.9:999", nil, http.Header{"X-Forwarded-For": {"192.0.2.1"}}, "192.0.2.9:999"},
		{"one proxy", peer, nil, http.Header{"X-Forwarded-For": {"192.0.2.1"}}, "192.0.2.1"},
		{"the client lies", peer, nil, http.Header{"X-Forwarded-For": {"127.0.0.1, 192.0.2.1"}}, "192.0.2.1"},
		{"the client lies in a line of its own", peer, nil, http.Header{"X-Forwarded-For": {"203.0.113.5", "192.0.2.1"}}, "192.0.2.1"},
		{"two proxies", peer, nil, http.Header{"X-Forwarded-For": {"192.0.2.1, 10.1.2.3"}}, "192.0.2.1"},
		{"only proxies", peer, nil, http.Header{"X-Forwarded-For": {"10.9.9.9,10.1.2.3"}}, "10.9.9.9"},
		{"an unknown client", peer, nil, http.Header{"X-Forwarded-For": {"unknown, 10.1.2.3"}}, "10.1.2.3"},
		{"nonsense", peer, nil, http.Header{"X-Forwarded-For": {"x"}}, peer},
		{"with a port", peer, nil, http.Header{"X-Forwarded-For": {"192.0.2.1:4711"}}, "192.0.2.1"},
		{"an IPv6 proxy", "[2001:db8:1::7]:999", nil, http.Header{"X-Forwarded-For": {"[2001:db8:2::1]:4711"}}, "2001:db8:2::1"},
		{"an IPv4 address in IPv6", "[::ffff:127.0.0.1]:999", nil, http.Header{"X-Forwarded-For": {"::ffff:192.0.2.1"}}, "192.0.2.1"},
		{"Forwarded", peer, nil, http.Header{"Forwarded": {`For="[2001:db8:2::1]:4711";proto=http;by="a,b", for=10.0.0.1`}}, "2001:db8:2::1"},
		{"Forwarded without an address", peer, nil, http.Header{"Forwarded": {"proto=https"}}, peer},
		{"both, and they agree", peer, nil, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"}}, "192.0.2.1"},
		{"both, and one is of the client", peer, nil, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=203.0.113.5"}}, peer},
		{"a unix socket", "@", socket, http.Header{"X-Forwarded-For": {"192.0.2.1"}}, "192.0.2.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.from
		for name, values := range c.header {
			r.Header[name] = values
		}
		if c.local != nil {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, c.local))
		}
		got := ""
		p.behind(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })).ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}
