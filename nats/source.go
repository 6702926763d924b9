package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/crcpair"
)

const (
	// consumerName is the name of the one consumer of an edge.
	consumerName = "weir"

	// metaBy is the key of the metadata of a consumer that has the reader that made
	// it.
	metaBy = "weir-by"

	heartbeat = 5 * time.Second

	// consumerRest is when the server forgets a consumer that nobody uses.
	consumerRest = 5 * time.Minute
)

// source is the consumer of an edge.
type source struct {
	edge Edge

	mu      sync.Mutex // guards the rest
	reader  *reader    // the last one; nil: none was opened
	version string     // of the edge that it reads
}

func (s *source) Name() string { return s.edge.Name }

// Holds counts the frames that were requested, and the one that is read.
func (s *source) Holds() int64 { return windowSize + 2*frameSize }

// Stat waits until the edge exists, and returns its id.
func (s *source) Stat(ctx context.Context) (version string, err error) {
	l, err := dial(ctx, s.edge)
	if err != nil {
		return "", err
	}
	defer l.close()
	_, info, err := l.await(ctx)
	if err != nil {
		return "", err
	}
	return info.Config.Metadata[metaID], nil
}

// Open takes the edge over from other consumers and begins at p. It does so only if
// the edge still has the bytes behind p.
func (s *source) Open(ctx context.Context, p durable.Position) (io.ReadCloser, error) {
	l, err := dial(ctx, s.edge)
	if err != nil {
		return nil, err
	}
	r := &reader{waits: newWaits(s.edge), link: l, id: p.Version, by: nonce(), at: p.Offset}
	err = l.persist(ctx, "open", func(one context.Context) error {
		st, info, err := l.open(one)
		if err != nil {
			return gone(err)
		}
		if info.Config.Metadata[metaID] != p.Version {
			return endpoint.ErrChanged
		}
		// These are many requests; each has its own time limit.
		r.stream = st
		if r.next, err = find(ctx, st, info.State, p.Offset); err != nil {
			return gone(err)
		}
		r.behind = r.next <= info.State.LastSeq
		return r.takeOver(ctx)
	})
	if err != nil {
		l.close()
		return nil, err
	}
	r.observe(l, r.stream)
	r.watch.Go(r.reconnect)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reader, s.version = r, p.Version
	return r, nil
}

// Done frees the frames before offset, except the last one.
func (s *source) Done(ctx context.Context, offset int64) error {
	s.mu.Lock()
	r := s.reader
	s.mu.Unlock()
	if r != nil {
		if err := r.done(ctx, offset); !errors.Is(err, errClosed) {
			return err
		}
	}
	l, err := dial(ctx, s.edge)
	if err != nil {
		return err
	}
	defer l.close()
	return l.persist(ctx, "free a part of", func(one context.Context) error {
		st, info, err := l.open(one)
		if err != nil {
			return gone(err)
		}
		if s.version != "" && info.Config.Metadata[metaID] != s.version {
			return endpoint.ErrChanged
		}
		seq, err := find(ctx, st, info.State, offset)
		if errors.Is(err, errFreed) || err == nil && seq <= info.State.FirstSeq {
			return nil
		}
		if err != nil {
			return gone(err)
		}
		return free(ctx, l, st, min(seq, info.State.LastSeq))
	})
}

// free frees the frames before number seq.
func free(ctx context.Context, l *link, st jetstream.Stream, seq uint64) error {
	if err := st.Purge(ctx, jetstream.WithPurgeSequence(seq)); err != nil {
		return gone(err)
	}
	l.signal()
	l.nc.Flush() // the link can be closed at once
	return nil
}

var errClosed = errors.New("the reader was closed")

// reader reads an edge. Read is for one goroutine; the other methods can be called
// concurrently.
type reader struct {
	*waits
	link   *link
	stream jetstream.Stream
	id     string // of the edge
	by     string // this reader

	next   uint64 // sequence number of the next frame
	at     int64  // offset of the next byte
	begun  bool   // a frame has been read, and end and sum are known
	end    int64  // of the frame that was read last
	sum    uint64 // of the stream up to there
	rest   []byte // of that frame
	behind bool   // the server has more
	gaps   int    // in a row
	err    error

	watch sync.WaitGroup

	mu       sync.Mutex                // guards the rest
	messages jetstream.MessagesContext // nil: there is no consumer
	marks    []mark                    // frames that were read and not freed
	closed   bool
}

// mark is the end of a frame.
type mark struct {
	seq uint64
	end int64
}

// Read waits for bytes. It returns io.EOF only if the whole stream has arrived,
// and its length and sum are right.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		if err := r.receive(); err != nil {
			if err != io.EOF && !errors.Is(err, errClosed) {
				err = r.link.wrap("read", err)
			}
			r.err = err
		}
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.at += int64(n)
	return n, nil
}

// receive receives the next frame.
func (r *reader) receive() error {
	messages, err := r.consumer()
	if err != nil {
		return err
	}
	waited := r.waiting(!r.behind)
	m, err := messages.Next()
	waited()
	if err != nil {
		// The server restarted, the connection broke, or another consumer has taken
		// over: a new consumer will tell.
		r.hangUp(messages)
		return nil
	}
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	seq := meta.Sequence.Stream
	switch {
	case seq < r.next:
		return nil
	case seq > r.next:
		// A message was lost in transit. The server can send it again.
		if r.gaps++; r.gaps > 3 {
			return fmt.Errorf("frame %d is missing", r.next)
		}
		r.behind = true
		r.hangUp(messages)
		return nil
	}
	f, err := parseFrame(m.Headers(), m.Data())
	if err == nil {
		err = r.accept(f)
	}
	if err != nil && err != io.EOF {
		return err
	}
	r.next, r.gaps, r.behind = seq+1, 0, meta.NumPending > 0
	r.mu.Lock()
	r.marks = append(r.marks, mark{seq, f.end()})
	r.mu.Unlock()
	return err
}

// accept checks that f continues the stream. It returns io.EOF if f is its end.
func (r *reader) accept(f *frame) error {
	rest := f.data
	if !r.begun {
		r.begun, r.end, r.sum = true, f.Offset, f.Sum
		if f.Offset > r.at || f.end() < r.at {
			return fmt.Errorf("frame from byte %d to %d; byte %d was asked for", f.Offset, f.end(), r.at)
		}
		rest = rest[r.at-f.Offset:]
	}
	if f.Offset != r.end {
		return fmt.Errorf("frame at byte %d, want byte %d", f.Offset, r.end)
	}
	if f.Sum != r.sum {
		return fmt.Errorf("the first %d bytes have CRC %016x, want %016x", r.end, r.sum, f.Sum)
	}
	r.rest = rest
	r.end, r.sum = f.end(), crcpair.Update(r.sum, f.data)
	if !f.End {
		return nil
	}
	c, err := f.checkpointOf()
	if err == nil && (c.Offset != r.end || c.Sum != r.sum) {
		err = fmt.Errorf("the stream has %d bytes with CRC %016x; the producer wrote %d bytes with CRC %016x", r.end, r.sum, c.Offset, c.Sum)
	}
	if err == nil {
		err = io.EOF
	}
	return err
}

// consumer returns the messages from the next frame on.
func (r *reader) consumer() (jetstream.MessagesContext, error) {
	r.mu.Lock()
	m, closed := r.messages, r.closed
	r.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if m != nil {
		return m, nil
	}
	defer r.waiting(false)()
	err := r.link.persist(r.link.ctx, "read", func(ctx context.Context) error {
		_, info, err := r.link.open(ctx)
		if err != nil {
			return gone(err)
		}
		switch {
		case info.Config.Metadata[metaID] != r.id:
			return gone(jetstream.ErrStreamNotFound)
		case info.State.LastSeq+1 < r.next:
			return errLost
		case info.State.Msgs > 0 && info.State.FirstSeq > r.next:
			return errFreed
		}
		c, err := r.link.js.Consumer(ctx, r.edge.Name, consumerName)
		if err == nil && c.CachedInfo().Config.Metadata[metaBy] != r.by {
			return errSuperseded
		}
		if err == nil {
			err = r.link.js.DeleteConsumer(ctx, r.edge.Name, consumerName)
		}
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return gone(err)
		}
		err = r.begin(ctx)
		if taken(err) {
			return errSuperseded
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	return r.messages, nil
}

// takeOver makes the consumer, in the place of any other.
func (r *reader) takeOver(ctx context.Context) error {
	for range 5 { // others can take over at the same time
		err := r.link.js.DeleteConsumer(ctx, r.edge.Name, consumerName)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return gone(err)
		}
		if err = r.begin(ctx); !taken(err) {
			return err
		}
	}
	return errSuperseded
}

// taken reports whether there is a consumer that another reader made.
func taken(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerExists) || errors.Is(err, jetstream.ErrConsumerNameAlreadyInUse)
}

// begin makes the consumer. It fails if there is one.
func (r *reader) begin(ctx context.Context) error {
	c, err := r.link.js.CreateConsumer(ctx, r.edge.Name, jetstream.ConsumerConfig{
		Name: consumerName, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: consumerRest, Metadata: map[string]string{metaBy: r.by},
	})
	if err != nil {
		return gone(err)
	}
	m, err := c.Messages(jetstream.PullMaxBytes(windowSize), jetstream.PullHeartbeat(heartbeat), jetstream.PullExpiry(6*heartbeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.messages = m
	r.mu.Unlock()
	return nil
}

// hangUp ends a consumer that is of no use any more.
func (r *reader) hangUp(m jetstream.MessagesContext) {
	m.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.messages == m {
		r.messages = nil
	}
}

// reconnect interrupts Read when the connection breaks: the new one needs a new
// consumer, and nothing comes until then.
func (r *reader) reconnect() {
	for {
		select {
		case <-r.link.reconnected:
		case <-r.link.broken:
		case <-r.link.ctx.Done():
			return
		}
		r.mu.Lock()
		if r.messages != nil {
			r.messages.Stop()
		}
		r.mu.Unlock()
		if r.link.err() != nil {
			return
		}
	}
}

// done frees the frames that end before offset, except the last one of them.
func (r *reader) done(ctx context.Context, offset int64) error {
	r.mu.Lock()
	n := 0
	for n < len(r.marks) && r.marks[n].end <= offset {
		n++
	}
	closed := r.closed
	var seq uint64
	if n > 1 {
		seq = r.marks[n-1].seq
		r.marks = append(r.marks[:0], r.marks[n-1:]...)
	}
	r.mu.Unlock()
	if closed {
		return errClosed
	}
	if seq == 0 {
		return nil
	}
	err := r.link.persist(ctx, "free a part of", func(ctx context.Context) error {
		// A new edge can have the name of one that was dropped, and other frames.
		info, err := r.stream.Info(ctx)
		if err == nil && info.Config.Metadata[metaID] != r.id {
			err = jetstream.ErrStreamNotFound
		}
		if err != nil {
			return gone(err)
		}
		return free(ctx, r.link, r.stream, seq)
	})
	if r.isClosed() {
		return errClosed
	}
	return err
}

func (r *reader) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Close ends the reader, and interrupts Read.
func (r *reader) Close() error {
	r.mu.Lock()
	m, closed := r.messages, r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		return nil
	}
	if m != nil {
		m.Stop()
	}
	r.link.close()
	r.watch.Wait()
	r.settle()
	return nil
}
