package auth

import (
	"net/http"
	"net/netip"
	"time"
)

const (
	freeTries   = 10               // wrong ones of an address, before it has to wait
	longest     = time.Minute      // that it waits
	forgetAfter = 10 * time.Minute // since its last one
	mostTries   = 4096             // addresses that are remembered
)

// tries are the wrong passwords by the address they came from. Each one too many
// doubles the time until the next is looked at. A right password waits too: a
// guess that succeeds is still a guess.
type tries map[string]try

type try struct {
	wrong int
	last  time.Time
}

// wait is how long nothing from addr is looked at.
func (t tries) wait(addr string, now time.Time) time.Duration {
	n := t[addr]
	if n.wrong < freeTries {
		return 0
	}
	pause := min(longest, time.Second<<min(n.wrong-freeTries, 10))
	return max(0, n.last.Add(pause).Sub(now))
}

func (t tries) add(addr string, now time.Time) {
	n, there := t[addr]
	if !there && len(t) >= mostTries {
		t.makeRoom(now)
	}
	if now.Sub(n.last) > forgetAfter {
		n.wrong = 0
	}
	n.wrong++
	n.last = now
	t[addr] = n
}

// makeRoom drops old entries or, if there are none, the oldest one.
func (t tries) makeRoom(now time.Time) {
	oldest := ""
	for addr, n := range t {
		if now.Sub(n.last) > forgetAfter {
			delete(t, addr)
		} else if oldest == "" || n.last.Before(t[oldest].last) {
			oldest = addr
		}
	}
	if len(t) >= mostTries {
		delete(t, oldest)
	}
}

// addrOf is where r comes from: an address, or the network of one of IPv6, of
// which a client has 2⁶⁴.
func addrOf(r *http.Request) string {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		addr, err := netip.ParseAddr(r.RemoteAddr) // a proxy has named it
		if err != nil {
			return r.RemoteAddr
		}
		from = netip.AddrPortFrom(addr, 0)
	}
	addr := from.Addr().Unmap()
	if addr.Is6() {
		if net, err := addr.WithZone("").Prefix(64); err == nil {
			return net.String()
		}
	}
	return addr.String()
}
