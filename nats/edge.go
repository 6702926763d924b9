package nats

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/units"
)

const (
	defaultMax   = 1 << 30
	smallestMax  = 64 << 20
	defaultStall = time.Minute

	frameSize  = 256 << 10
	windowSize = 4 << 20 // bytes that were sent and not acknowledged, and bytes that were requested and not read
	freeAfter  = 8 << 20 // bytes that the plain source reads before it frees them

	// headerRoom is the most that the header of a frame takes.
	headerRoom = 16 << 10
)

// Edge is the address of an edge. It can be copied and used concurrently.
type Edge struct {
	// Name is the name of the edge and of its stream. It has up to 200 letters,
	// digits and characters of -_=+.
	Name string

	// Host is the address of the server: host or host:port.
	Host string

	// TLS insists on TLS. Without it, the server decides.
	TLS bool

	// User, if not nil, has the user name and password, or a token as the user
	// name without a password.
	User *url.Userinfo

	// Max is the most that the server holds, in bytes, including about 400 bytes
	// for each frame. 0 means 1 GiB for a new edge, and any for one that exists.
	Max int64

	// Stall is the longest time for which the server can be away. 0 means 1 minute;
	// negative means no limit. An edge that is full, or empty, is not away.
	Stall time.Duration
}

func init() {
	for _, name := range []string{"nats", "tls"} {
		endpoint.Register(name, endpoint.Scheme{Source: plainSource, Sink: plainSink})
	}
}

// IsEdge reports whether name is the URL of an edge: whether it begins with
// nats:// or tls://.
func IsEdge(name string) bool {
	scheme, _, ok := strings.Cut(name, "://")
	return ok && (strings.EqualFold(scheme, "nats") || strings.EqualFold(scheme, "tls"))
}

// Parse parses the URL of an edge. It opens nothing. Its errors contain no
// password.
func Parse(name string) (Edge, error) {
	u, err := parseURL(name)
	if err != nil {
		return Edge{}, err
	}
	return parse(u)
}

// parseURL reads a URL. Its errors do not quote it.
func parseURL(name string) (*url.URL, error) {
	u, err := url.Parse(name)
	if err != nil || !IsEdge(name) {
		return nil, errors.New("nats: invalid URL; write nats://host/NAME, with special characters in the password as %XX")
	}
	return u, nil
}

func parse(u *url.URL) (Edge, error) {
	e, err := read(u)
	if err == nil {
		err = e.check()
	}
	return e, err
}

// read parses a URL, which can lack parts that an edge needs.
func read(u *url.URL) (Edge, error) {
	e := Edge{Name: strings.TrimPrefix(u.Path, "/"), Host: u.Host, TLS: strings.EqualFold(u.Scheme, "tls"), User: u.User}
	fail := func(format string, args ...any) (Edge, error) {
		return e, fmt.Errorf("nats: %s: %s", e, fmt.Sprintf(format, args...))
	}
	if u.Fragment != "" {
		return fail("# in the URL; leave it out")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("invalid query; write ?max=1GiB")
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "max":
			if e.Max, err = units.ParseBytes(value); err != nil || e.Max == 0 {
				return fail("invalid value %q for max; write a size, as in 1GiB", value)
			}
		case "stall":
			d, err := time.ParseDuration(value)
			if err != nil || d < 0 {
				return fail("invalid value %q for stall; write a duration, as in 5m, or 0 for no limit", value)
			}
			if e.Stall = d; d == 0 {
				e.Stall = -1
			}
		default:
			return fail("unknown setting %q; use max or stall", name)
		}
	}
	return e, nil
}

// check refuses an address that no edge can have.
func (e Edge) check() error {
	if err := e.checkServer(); err != nil {
		return err
	}
	switch {
	case e.Name == "":
		return fmt.Errorf("nats: %s: missing name of the edge; write nats://%s/NAME", e, e.Host)
	case len(e.Name) > 200 || strings.ContainsFunc(e.Name, func(r rune) bool { return !nameRune(r) }):
		return fmt.Errorf("nats: %s: invalid name of an edge; use up to 200 letters, digits, and -_=+", e)
	case e.Max != 0 && e.Max < smallestMax:
		return fmt.Errorf("nats: %s: max is %s; use %s or more", e, weir.FormatBytes(e.Max), weir.FormatBytes(smallestMax))
	}
	return nil
}

func (e Edge) checkServer() error {
	if e.Host == "" || strings.HasPrefix(e.Host, ":") {
		return fmt.Errorf("nats: %s: missing host; write nats://host/NAME", e)
	}
	return nil
}

func nameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_=+", r)
}

// String returns the URL of the edge without user, password and settings.
func (e Edge) String() string {
	scheme := "nats"
	if e.TLS {
		scheme = "tls"
	}
	s := scheme + "://" + e.Host
	if e.Name != "" {
		s += "/" + e.Name
	}
	return s
}

// Source returns the edge as the source of durable flows: see package durable.
// One consumer reads an edge. A newer one takes over: the reader of the older
// one fails with an error that matches [durable.ErrInUse].
//
// If the edge does not exist, the source waits for it.
func (e Edge) Source() durable.Source { return &source{edge: e} }

// Sink returns the edge as the sink of durable flows. It creates the edge if it
// does not exist. One producer writes an edge. A newer one takes over: the next
// Write of the older one fails with an error that matches [durable.ErrInUse].
//
// The sink has a method Pace: a flow saves after 32 MiB.
func (e Edge) Sink() durable.Sink { return &sink{edge: e} }

// peer is what the two ends wait for when the edge is full or empty.
func (e Edge) peer() string { return "the other side of " + e.Name }

func (e Edge) server() string { return "the server of " + e.Name }

func (e Edge) subject() string { return "weir.edge." + e.Name }

// signal is the subject on which both ends tell each other, unreliably, that
// something has changed.
func (e Edge) signal() string { return "weir.signal." + e.Name }

func (e Edge) stall() time.Duration {
	switch {
	case e.Stall < 0:
		return 1<<63 - 1
	case e.Stall == 0:
		return defaultStall
	}
	return e.Stall
}

// address is where the client connects to.
func (e Edge) address() string {
	host := e.Host
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(nats.DefaultPort))
	}
	if e.TLS {
		return "tls://" + host
	}
	return "nats://" + host
}

// credentials returns the options of the client that say who it is.
func (e Edge) credentials() (options []nats.Option, err error) {
	env := os.Getenv
	user, password := env("NATS_USER"), env("NATS_PASSWORD")
	secret := password != ""
	if e.User != nil {
		user = e.User.Username()
		password, secret = e.User.Password()
	} else if file := env("NATS_CREDS"); file != "" {
		user = ""
		options = append(options, nats.UserCredentials(file))
	} else if file := env("NATS_NKEY"); file != "" {
		user = ""
		o, err := nats.NkeyOptionFromSeed(file)
		if err != nil {
			return nil, fmt.Errorf("nats: NATS_NKEY: %w", err)
		}
		options = append(options, o)
	}
	switch {
	case user != "" && secret:
		options = append(options, nats.UserInfo(user, password))
	case user != "":
		options = append(options, nats.Token(user))
	}
	if file := env("NATS_CA"); file != "" {
		options = append(options, nats.RootCAs(file))
	}
	if cert, key := env("NATS_CERT"), env("NATS_KEY"); cert != "" && key != "" {
		options = append(options, nats.ClientCert(cert, key))
	}
	return slices.Clip(options), nil
}

// nonce returns a random identifier.
func nonce() string { return rand.Text() }
