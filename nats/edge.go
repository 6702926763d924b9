package nats

import (
	"context"
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
	"github.com/nats-io/nats.go/jetstream"

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

func (e Edge) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	var advice string
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		advice = "; turn JetStream on in the configuration of the server, or start nats-server with -js"
	case errors.Is(err, nats.ErrAuthorization):
		advice = "; set NATS_CREDS, or NATS_USER and NATS_PASSWORD"
	case errors.As(err, &api) && api.ErrorCode == 10047: // storage resources exceeded
		advice = "; make max smaller, or let the server have more storage (max_file_store)"
	}
	return fmt.Errorf("nats: %s %s: %w%s", what, e, err, advice)
}

func (e Edge) checkServer() error {
	if e.Host == "" || strings.HasPrefix(e.Host, ":") {
		return fmt.Errorf("nats: %s: missing host; write nats://host/NAME", e)
	}
	return nil
}

// ErrNotAnEdge is the cause if a stream exists that weir did not make, or whose
// settings were changed.
var ErrNotAnEdge = errors.New("not an edge of weir")

// metaID is the key of the metadata of a stream that has the id of its edge.
const metaID = "weir-edge"

// config returns the settings of the stream of a new edge.
func (e Edge) config() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: e.Name, Subjects: []string{e.subject()}, Description: "edge of weir",
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
		MaxBytes: e.Max, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		Replicas: 1, Metadata: map[string]string{metaID: nonce()},
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMax
	}
	return c
}

// vet refuses a stream with settings that an edge must not have.
func (e Edge) vet(c jetstream.StreamConfig) error {
	if c.Metadata[metaID] == "" {
		return fmt.Errorf("%w: another program made the stream; use another name", ErrNotAnEdge)
	}
	var wrong []string
	setting := func(ok bool, name string, has, want any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s is %v, not %v", name, has, want))
		}
	}
	setting(slices.Equal(c.Subjects, []string{e.subject()}), "subjects", strings.Join(c.Subjects, " "), e.subject())
	setting(c.Retention == jetstream.LimitsPolicy, "retention", strings.ToLower(c.Retention.String()), "limits")
	setting(c.Discard == jetstream.DiscardNew, "discard", "old", "new")
	setting(c.Storage == jetstream.FileStorage, "storage", "memory", "file")
	setting(c.MaxMsgs <= 0, "max_msgs", c.MaxMsgs, "unlimited")
	setting(c.MaxMsgsPerSubject <= 0, "max_msgs_per_subject", c.MaxMsgsPerSubject, "unlimited")
	setting(c.MaxAge == 0, "max_age", c.MaxAge, "unlimited")
	setting(c.MaxMsgSize <= 0, "max_msg_size", c.MaxMsgSize, "unlimited")
	setting(c.MaxConsumers <= 0, "max_consumers", c.MaxConsumers, "unlimited")
	setting(!c.NoAck, "no_ack", true, false)
	setting(!c.Sealed, "sealed", true, false)
	setting(!c.DenyPurge, "deny_purge", true, false)
	setting(!c.AllowDirect, "allow_direct", true, false)
	setting(!c.AllowRollup, "allow_rollup_hdrs", true, false)
	setting(!c.AllowMsgTTL, "allow_msg_ttl", true, false)
	setting(c.PersistMode == jetstream.DefaultPersistMode, "persist_mode", "async", "default")
	setting(c.Mirror == nil && len(c.Sources) == 0, "sources", "set", "empty")
	setting(c.SubjectTransform == nil, "subject_transform", "set", "empty")
	setting(c.MaxBytes >= smallestMax, "max_bytes", weir.FormatBytes(c.MaxBytes), weir.FormatBytes(smallestMax)+" or more")
	setting(e.Max == 0 || e.Max == c.MaxBytes, "max", weir.FormatBytes(c.MaxBytes), weir.FormatBytes(e.Max))
	if len(wrong) > 0 {
		return fmt.Errorf("%w: the stream has other settings: %s; use these settings, or weir edge drop %s and begin again",
			ErrNotAnEdge, strings.Join(wrong, ", "), e)
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

// Info describes an edge.
type Info struct {
	URL  string `json:"url"` // of the edge, without user, password and settings
	Name string `json:"name"`
	ID   string `json:"id"` // changes when the edge is dropped and made again

	Max  int64 `json:"max"`  // the most that the server holds, in bytes
	Held int64 `json:"held"` // the bytes that it holds, with headers

	Written  int64 `json:"written"`  // bytes that the producer has written
	Consumed int64 `json:"consumed"` // bytes that the consumer has freed; it can have read a little more
	Ended    bool  `json:"ended"`    // Written is the length of the whole stream

	Source  string           `json:"source,omitempty"` // the source that the producer reads
	From    durable.Position `json:"from"`             // how far the producer has read it, at its last checkpoint
	Reading bool             `json:"reading"`          // there is a consumer

	Storage  string    `json:"storage"` // "file"
	Replicas int       `json:"replicas"`
	Server   string    `json:"server"` // version
	Created  time.Time `json:"created"`

	// Oldest is when the oldest frame that is held was written.
	Oldest time.Time `json:"oldest,omitzero"`

	// Err says why the edge cannot be used, or is empty.
	Err string `json:"error,omitempty"`
}

// Lag returns how many bytes the consumer is behind.
func (i Info) Lag() int64 { return i.Written - i.Consumed }

// Info asks the server about the edge. It returns an error that matches
// fs.ErrNotExist if there is none.
func (e Edge) Info(ctx context.Context) (Info, error) {
	l, err := dial(ctx, e)
	if err != nil {
		return Info{}, err
	}
	defer l.close()
	st, si, err := l.open(ctx)
	if err != nil {
		return Info{}, e.wrap("open", absent(err))
	}
	return l.info(ctx, st, si)
}

// Drop removes the edge with everything that it holds. The producer and the
// consumer fail if they run. It returns an error that matches fs.ErrNotExist if
// there is no edge, and refuses streams that weir did not make.
func (e Edge) Drop(ctx context.Context) error {
	l, err := dial(ctx, e)
	if err != nil {
		return err
	}
	defer l.close()
	st, err := l.js.Stream(ctx, e.Name)
	if err != nil {
		return e.wrap("drop", absent(err))
	}
	if st.CachedInfo().Config.Metadata[metaID] == "" {
		return e.wrap("drop", fmt.Errorf("%w: another program made the stream", ErrNotAnEdge))
	}
	if err := l.js.DeleteStream(ctx, e.Name); err != nil {
		return e.wrap("drop", absent(err))
	}
	l.signal()
	l.nc.FlushTimeout(connectTime)
	return nil
}

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

// with takes the time limit of o, unless the URL has one.
func (e Edge) with(o endpoint.HTTPOptions) Edge {
	if e.Stall == 0 {
		e.Stall = o.Stall
	}
	return e
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
