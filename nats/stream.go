package nats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
)

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

// errLost is the cause if the server does not have frames that it acknowledged.
var errLost = errors.New("the server has lost frames; it must sync (jetstream { sync_interval: always }) to survive a power cut")

// errFreed is the cause if an edge does not have the bytes any more.
var errFreed = errors.New("another consumer has read what was before, and has freed it")

// errAbsent matches fs.ErrNotExist.
var errAbsent = fmt.Errorf("no such edge: %w", fs.ErrNotExist)

// frameAt reads the frame with a sequence number.
func frameAt(ctx context.Context, st jetstream.Stream, seq uint64) (*frame, error) {
	m, err := st.GetMsg(ctx, seq)
	if err != nil {
		return nil, err
	}
	return parseFrame(m.Header, m.Data)
}

// lastFrame reads the last frame and its sequence number. It returns nil if the
// edge is new.
func lastFrame(ctx context.Context, st jetstream.Stream) (f *frame, seq uint64, err error) {
	for range 10 { // others can write and free at the same time
		var info *jetstream.StreamInfo
		if info, err = st.Info(ctx); err != nil {
			return nil, 0, err
		}
		seq = info.State.LastSeq
		if info.State.Msgs == 0 {
			if seq > 0 {
				return nil, 0, errLost
			}
			return nil, 0, nil
		}
		if f, err = frameAt(ctx, st, seq); !errors.Is(err, jetstream.ErrMsgNotFound) {
			return f, seq, err
		}
	}
	return nil, 0, err
}

// find returns the sequence number of the frame at which a reader of the stream
// from offset on begins. It can be the next one that will be written.
func find(ctx context.Context, st jetstream.Stream, state jetstream.StreamState, offset int64) (uint64, error) {
	if state.Msgs == 0 {
		if offset > 0 || state.LastSeq > 0 {
			return 0, errLost
		}
		return 1, nil
	}
	first, err := frameAt(ctx, st, state.FirstSeq)
	if err != nil {
		return 0, err
	}
	if first.Offset > offset {
		return 0, fmt.Errorf("the edge begins at byte %d; byte %d was asked for: %w", first.Offset, offset, errFreed)
	}
	if first.end() > offset {
		return state.FirstSeq, nil
	}
	// The frame with number low begins at or before offset, the one with high
	// behind it.
	low, high := state.FirstSeq, state.LastSeq+1
	for low+1 < high {
		middle := low + (high-low)/2
		f, err := frameAt(ctx, st, middle)
		if err != nil {
			return 0, err
		}
		if f.Offset <= offset {
			low, first = middle, f
		} else {
			high = middle
		}
	}
	switch {
	case first.end() > offset || first.End:
		return low, nil
	case first.end() < offset:
		return 0, fmt.Errorf("the edge ends at byte %d, and byte %d was asked for: %w", first.end(), offset, errLost)
	}
	return low + 1, nil
}

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
	l, err := e.dial(ctx)
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

// List asks a server about all its edges, sorted by name. url is the address of the
// server, nats://host, or of any edge on it. An edge that cannot be used has an
// Err.
func List(ctx context.Context, url string) (list []Info, err error) {
	u, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	e, err := read(u)
	if err == nil {
		err = e.checkServer()
	}
	if err != nil {
		return nil, err
	}
	e.Name = ""
	l, err := e.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer l.close()
	streams := l.js.ListStreams(ctx)
	for si := range streams.Info() {
		if si.Config.Metadata[metaID] == "" {
			continue
		}
		one := e
		one.Name, one.Max = si.Config.Name, 0
		st, err := l.js.Stream(ctx, one.Name)
		var i Info
		if err == nil {
			i, err = l.info(ctx, st, si)
		}
		if err == nil {
			err = one.vet(si.Config)
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // dropped since it was listed
		}
		if err != nil {
			i.Name, i.Err = one.Name, err.Error()
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	if err := streams.Err(); err != nil {
		return nil, e.wrap("list", err)
	}
	return list, nil
}

// Drop removes the edge with everything that it holds. The producer and the
// consumer fail if they run. It returns an error that matches fs.ErrNotExist if
// there is no edge, and refuses streams that weir did not make.
func (e Edge) Drop(ctx context.Context) error {
	l, err := e.dial(ctx)
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

// gone returns the error of an end whose edge is not there any more.
func gone(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("the edge was dropped: %w", endpoint.ErrChanged)
	}
	return err
}

// absent makes the error of a stream that does not exist match fs.ErrNotExist.
func absent(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return errAbsent
	}
	return err
}
