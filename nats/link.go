package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	connectTime = 5 * time.Second // for one attempt to connect, and for one request

	// The client notices within 15 s that a server is gone without a word.
	pingEvery   = 5 * time.Second
	pingsUnread = 2
)

// link is a connection to the server of an edge. It connects again by itself.
type link struct {
	edge Edge
	nc   *nats.Conn
	js   jetstream.JetStream

	ctx    context.Context // ends with the link
	stop   context.CancelFunc
	dialed atomic.Pointer[error] // why the last attempt to connect failed

	reconnected chan struct{} // holds 1: the connection broke and there is a new one
	signals     chan *nats.Msg

	mu     sync.Mutex // guards failed
	failed error      // why the link is of no use any more
	broken chan struct{}
}

// dial connects to the server of an edge and checks that it is new enough.
func dial(ctx context.Context, e Edge) (*link, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	return connect(ctx, e)
}

// connect is dial for an edge that may lack a name.
func connect(ctx context.Context, e Edge) (*link, error) {
	l := &link{edge: e, reconnected: make(chan struct{}, 1), signals: make(chan *nats.Msg, 64), broken: make(chan struct{})}
	l.ctx, l.stop = context.WithCancel(context.Background())
	defer context.AfterFunc(ctx, l.stop)() // only while it connects
	options, err := e.credentials()
	if err != nil {
		return nil, err
	}
	options = append(options,
		nats.Name("weir"),
		nats.Timeout(connectTime),
		nats.SetCustomDialer(dialer{l}),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsUnread),
		nats.MaxReconnects(-1), nats.CustomReconnectDelay(backoff),
		nats.ReconnectBufSize(-1), // the client must not send older frames on its own
		nats.ReconnectHandler(func(*nats.Conn) { l.back() }),
		nats.ClosedHandler(func(nc *nats.Conn) { l.fail(nc.LastError()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				l.fail(err)
			}
		}),
	)
	if l.nc, err = nats.Connect(e.address(), options...); err != nil {
		switch why := l.dialed.Load(); {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.Is(err, nats.ErrNoServers) && why != nil:
			err = *why // the client does not say
		}
		l.stop()
		return nil, l.wrap("connect", err)
	}
	if err = newEnough(l.nc.ConnectedServerVersion()); err == nil {
		l.js, err = jetstream.New(l.nc, jetstream.WithDefaultTimeout(connectTime))
	}
	if err == nil && e.Name != "" {
		_, err = l.nc.ChanSubscribe(e.signal(), l.signals)
	}
	if err != nil {
		l.close()
		return nil, l.wrap("connect", err)
	}
	return l, nil
}

// dialer makes the connections of a link.
type dialer struct{ l *link }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: connectTime}).DialContext(d.l.ctx, network, address)
	if err != nil {
		d.l.dialed.Store(&err)
	}
	return c, err
}

// backoff returns how long to wait before attempt n to do something again.
func backoff(n int) time.Duration { return min(20*time.Millisecond<<min(n, 8), time.Second) }

// newEnough refuses servers with known faults of purging and of crashes.
func newEnough(version string) error {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) == 3 {
		major, err := strconv.Atoi(parts[0])
		minor, err2 := strconv.Atoi(parts[1])
		if err == nil && err2 == nil && (major > 2 || major == 2 && minor >= 14) {
			return nil
		}
	}
	return fmt.Errorf("the server has version %s; version 2.14 or newer is needed, because older ones can lose data after a crash", version)
}

// back says that there is a new connection.
func (l *link) back() {
	if err := newEnough(l.nc.ConnectedServerVersion()); err != nil {
		l.fail(err)
	}
	select {
	case l.reconnected <- struct{}{}:
	default:
	}
}

// fail makes the link useless. Only the first call counts.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		if err == nil {
			err = nats.ErrConnectionClosed
		}
		l.failed = err
		close(l.broken)
	}
}

// err returns why the link is of no use any more, or nil.
func (l *link) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// close ends the link. It can be called more than once, and concurrently.
func (l *link) close() {
	l.stop()
	l.nc.Close()
}

// signal tells the other end that something has changed, if it listens.
func (l *link) signal() { l.nc.Publish(l.edge.signal(), nil) }

// pause waits until d has passed or the other end has sent a signal. It returns
// an error if waiting is in vain.
func (l *link) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.signals:
	case <-l.broken:
		return l.wrap("wait for", l.err())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// persist calls f until it succeeds, or fails for a reason that does not pass, or
// the server has been away for too long.
func (l *link) persist(ctx context.Context, what string, f func(context.Context) error) error {
	begin := time.Now()
	for n := 0; ; n++ {
		one, cancel := context.WithTimeout(ctx, connectTime)
		err := f(one)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case l.err() != nil:
			return l.wrap(what, l.err())
		case what == "open" && n > 3 && l.nc.IsConnected() && errors.Is(err, nats.ErrNoResponders):
			return l.wrap(what, jetstream.ErrJetStreamNotEnabled)
		case !passing(err):
			return l.wrap(what, err)
		case time.Since(begin) > l.edge.stall():
			return l.wrap(what, l.away(what, err))
		}
		if err := l.pause(ctx, backoff(n)); err != nil {
			return err
		}
	}
}

// open returns the stream of an edge that exists, and its state.
func (l *link) open(ctx context.Context) (st jetstream.Stream, info *jetstream.StreamInfo, err error) {
	st, err = l.js.Stream(ctx, l.edge.Name)
	if err != nil {
		return nil, nil, err
	}
	info = st.CachedInfo()
	return st, info, l.edge.vet(info.Config)
}

// create returns the stream of an edge, which it makes if it does not exist.
func (l *link) create(ctx context.Context) (st jetstream.Stream, info *jetstream.StreamInfo, err error) {
	for range 3 { // another producer can make or drop it at the same time
		if st, info, err = l.open(ctx); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return st, info, err
		}
		_, err = l.js.CreateStream(ctx, l.edge.config())
		if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil, nil, err
		}
		l.signal()
	}
	return nil, nil, err
}

// await returns the stream of an edge, and waits until there is one.
func (l *link) await(ctx context.Context) (st jetstream.Stream, info *jetstream.StreamInfo, err error) {
	for n := 0; ; n++ {
		err := l.persist(ctx, "open", func(ctx context.Context) error {
			st, info, err = l.open(ctx)
			return err
		})
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return st, info, err
		}
		if err := l.pause(ctx, backoff(n)); err != nil {
			return nil, nil, err
		}
	}
}

func (l *link) info(ctx context.Context, st jetstream.Stream, si *jetstream.StreamInfo) (Info, error) {
	c, s := si.Config, si.State
	e := l.edge
	e.Name = c.Name
	i := Info{
		URL: e.String(), Name: c.Name, ID: c.Metadata[metaID], Max: c.MaxBytes, Held: int64(s.Bytes),
		Storage: strings.ToLower(c.Storage.String()), Replicas: c.Replicas, Server: l.nc.ConnectedServerVersion(), Created: si.Created,
	}
	if s.Msgs > 0 {
		i.Oldest = s.FirstTime
		last, err := frameAt(ctx, st, s.LastSeq)
		if err != nil {
			return i, e.wrap("read", err)
		}
		i.Written, i.Ended, i.Consumed = last.end(), last.End, last.Offset
		if s.FirstSeq < s.LastSeq {
			first, err := frameAt(ctx, st, s.FirstSeq)
			if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) { // else it has been freed since then
				return i, e.wrap("read", err)
			}
			if err == nil {
				i.Consumed = first.Offset
			}
		}
		cp, err := last.checkpointOf()
		if err != nil {
			return i, e.wrap("read", err)
		}
		i.Source, i.From = cp.From, cp.Source
	}
	if ci, err := l.js.Consumer(ctx, c.Name, consumerName); err == nil {
		i.Reading = ci.CachedInfo().NumWaiting > 0
	}
	return i, nil
}

// passing reports whether a request that failed with err can succeed later: the
// server is away, or it is about to start.
func passing(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == 503 && api.ErrorCode != jetstream.JSErrCodeJetStreamNotEnabledForAccount
	}
	for _, e := range []error{
		nats.ErrDisconnected, nats.ErrNoResponders, nats.ErrTimeout, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting,
		nats.ErrStaleConnection, context.DeadlineExceeded, jetstream.ErrNoStreamResponse, jetstream.ErrNoHeartbeat,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// errStopped is the cause if the server runs, but not its JetStream.
var errStopped = errors.New("JetStream has stopped on the server, as it does when its disk is full; make room, start the server again, and run the same command")

// errSilent is the cause if the server answers, but not to frames. It does not say
// why.
var errSilent = errors.New("the server stores nothing, as when its disk is full; read its log, make room, start it again, and run the same command")

// away is the error of a server that has been away for too long.
func (l *link) away(what string, err error) error {
	if l.nc.IsConnected() {
		ctx, cancel := context.WithTimeout(l.ctx, connectTime)
		defer cancel()
		_, perr := l.js.AccountInfo(ctx)
		switch {
		case errors.Is(perr, jetstream.ErrJetStreamNotEnabled):
			return errStopped
		case perr == nil && what == "write":
			return fmt.Errorf("%w (nothing for %v: %w)", errSilent, l.edge.stall(), err)
		}
		return fmt.Errorf("the server has not answered for %v: %w", l.edge.stall(), err)
	}
	return fmt.Errorf("the server has been away for %v: %w", l.edge.stall(), err)
}

// wrap adds the edge and the operation to an error, and advice where there is
// some.
func (l *link) wrap(what string, err error) error { return l.edge.wrap(what, err) }
