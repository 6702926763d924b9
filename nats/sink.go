package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/internal/crcpair"
)

// errSuperseded is the cause if another producer or consumer has taken over.
var errSuperseded = fmt.Errorf("%w: a newer one has taken over", durable.ErrInUse)

// codeStoreFailed is the code of the error that the server has no room. Its
// description says why.
const codeStoreFailed jetstream.ErrorCode = 10077

// signalProducer begins a signal with which a producer says that it takes over.
const signalProducer = "producer "

const (
	fullWait   = time.Millisecond // doubles up to fullMost while the edge is full
	fullMost   = time.Second      // the consumer sends a signal when it has made room
	answerTime = 5 * time.Second  // without an answer for so long, the sink checks which frames are stored

	saveBytes = 32 << 20
	saveAge   = 250 * time.Millisecond
)

// sink is the producer of an edge.
type sink struct {
	edge Edge
	*waits

	link    *link
	stream  jetstream.Stream
	id      string // of the edge
	by      string // this run
	size    int    // of a frame
	answers chan *nats.Msg
	prefix  string // of the subjects of answers

	// last is the sequence number of the last frame that is known to be stored.
	// queue has the frames behind it, in order. The first sent of them are in
	// flight, in this attempt.
	last    uint64
	queue   []*frame
	sent    int
	window  int // the most that may be in flight
	attempt int
	refused int       // how often in a row the first one was refused because the edge is full
	lost    bool      // check which frames are stored before sending anything
	hold    time.Time // send nothing before, if it is not zero
	alive   time.Time // when the last frame was stored or refused because the edge is full, or the queue began
	trouble error     // why a frame was not stored, if that can pass

	// offset and sum describe the end of the bytes that are queued or in buf.
	offset     int64
	sum        uint64
	checkpoint string // that frames carry
	buf        []byte // of the next frame
	spare      [][]byte

	// A flow that continues repeats bytes that the edge has: from repeated to
	// stored.
	repeated, stored int64
	repeatedSum      uint64
}

func (s *sink) Name() string { return s.edge.Name }

// Holds counts the frames of the window, the one that fills, and the buffer of the
// connection.
func (s *sink) Holds() int64 { return windowSize + 2*frameSize }

// Pace makes a flow save less often than by default: bytes that it has written
// without a checkpoint are not written again, only compared.
func (s *sink) Pace() (bytes int64, age, idle time.Duration) { return saveBytes, saveAge, saveAge }

// Open connects, creates the edge if it does not exist, and reads its last frame.
// It then writes a frame without bytes, so that the server refuses frames of older
// producers, and so that no edge is ever empty.
func (s *sink) Open(ctx context.Context) (c durable.Checkpoint, err error) {
	s.link, err = dial(ctx, s.edge)
	if err != nil {
		return c, err
	}
	*s = sink{edge: s.edge, link: s.link, waits: newWaits(s.edge), by: nonce()}
	s.prefix = nats.NewInbox() + "."
	s.answers = make(chan *nats.Msg, 4096) // more than are under way, including answers to abandoned attempts
	if _, err = s.link.nc.ChanSubscribe(s.prefix+"*.*", s.answers); err != nil {
		s.link.close()
		return c, s.link.wrap("open", err)
	}
	// A producer that still runs and gets this signal stops. One that does not get
	// it writes on, until the first frame of this run is stored.
	s.link.nc.Publish(s.edge.signal(), []byte(signalProducer+s.by))
	for n := range 20 {
		if c, err = s.open(ctx); !errors.Is(err, errSuperseded) {
			break
		}
		if perr := s.link.pause(ctx, backoff(n)); perr != nil {
			err = perr
			break
		}
	}
	if err != nil {
		s.link.close()
		return c, err
	}
	s.observe(s.link, s.stream)
	return c, nil
}

func (s *sink) open(ctx context.Context) (c durable.Checkpoint, err error) {
	l := s.link
	var f *frame
	err = l.persist(ctx, "open", func(ctx context.Context) (err error) {
		var info *jetstream.StreamInfo
		if s.stream, info, err = l.create(ctx); err != nil {
			return err
		}
		s.id = info.Config.Metadata[metaID]
		f, s.last, err = lastFrame(ctx, s.stream)
		return err
	})
	if err != nil {
		return c, err
	}
	most := l.nc.MaxPayload() - headerRoom
	if most < headerRoom {
		return c, l.wrap("open", fmt.Errorf("the server takes messages of up to %d bytes only; set its max_payload to 64KB or more", l.nc.MaxPayload()))
	}
	s.size = int(min(frameSize, most))
	s.window = s.frames()
	if f == nil {
		f = &frame{}
	}
	if c, err = f.checkpointOf(); err != nil {
		return c, l.wrap("open", err)
	}
	s.checkpoint = f.checkpoint
	s.offset, s.sum = f.end(), f.sumAtEnd()
	s.repeated, s.repeatedSum, s.stored = c.Offset, c.Sum, s.offset
	s.lost, s.queue = false, nil
	s.again(0) // answers to an attempt before do not count
	s.hold, s.refused, s.trouble, s.window = time.Time{}, 0, nil, s.frames()
	if f.End {
		return c, nil
	}
	// If the edge is full, the first frame that gets in shuts other producers out.
	s.push(nil)
	return c, s.run(ctx, func() bool { return len(s.queue) == 0 || s.refused > 0 })
}

// Write appends p to the edge, and waits while it is full.
func (s *sink) Write(ctx context.Context, p []byte) (n int, err error) {
	if s.repeated < s.stored {
		n = int(min(s.stored-s.repeated, int64(len(p))))
		s.repeatedSum = crcpair.Update(s.repeatedSum, p[:n])
		s.repeated += int64(n)
		if s.repeated == s.stored && s.repeatedSum != s.sum {
			return 0, s.link.wrap("continue", errors.New("the output differs from what the edge has; drop the edge and begin again"))
		}
	}
	for n < len(p) {
		// A full buffer is sent when there is more behind it, so that Save finds
		// something to send, which can carry the checkpoint.
		if len(s.buf) == s.size {
			if err := s.send(ctx); err != nil {
				return n, err
			}
		}
		if s.buf == nil {
			s.buf = s.buffer()
		}
		m := min(len(p)-n, s.size-len(s.buf))
		s.buf = append(s.buf, p[n:n+m]...)
		n += m
	}
	return n, nil
}

func (s *sink) buffer() []byte {
	if n := len(s.spare); n > 0 {
		b := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return b[:0]
	}
	return make([]byte, 0, s.size)
}

// push queues a frame with b.
func (s *sink) push(b []byte) *frame {
	f := &frame{Offset: s.offset, Sum: s.sum, CRC: crc32.Checksum(b, frameSums), By: s.by, data: b, checkpoint: s.checkpoint}
	s.offset, s.sum = f.end(), f.sumAtEnd()
	if len(s.queue) == 0 {
		s.alive = time.Now() // nothing was asked of the server until now
	}
	s.queue = append(s.queue, f)
	return f
}

// send queues the contents of the buffer, and waits for room in the window.
func (s *sink) send(ctx context.Context) error {
	s.push(s.buf)
	s.buf = nil
	return s.run(ctx, func() bool { return len(s.queue) < s.frames() })
}

// flush sends the contents of the buffer, and waits until everything is stored.
func (s *sink) flush(ctx context.Context) error {
	if len(s.buf) > 0 {
		s.push(s.buf)
		s.buf = nil
	}
	return s.run(ctx, func() bool { return len(s.queue) == 0 })
}

// Save sends the contents of the buffer in a frame that carries c, and waits until
// everything is stored.
func (s *sink) Save(ctx context.Context, c durable.Checkpoint) error {
	return s.save(ctx, c, false)
}

func (s *sink) save(ctx context.Context, c durable.Checkpoint, end bool) error {
	text, err := checkpointText(c)
	if err != nil {
		return s.link.wrap("write", err)
	}
	if text != s.checkpoint || len(s.buf) > 0 || end {
		s.checkpoint = text
		s.push(s.buf).End = end
		s.buf = nil
	}
	return s.run(ctx, func() bool { return len(s.queue) == 0 })
}

// Commit marks the end.
func (s *sink) Commit(ctx context.Context, c durable.Checkpoint) error {
	switch {
	case s.repeated < s.stored:
		return s.link.wrap("write", fmt.Errorf("the stream ends at byte %d; the edge already has %d bytes of it", s.repeated, s.stored))
	case c.Offset != s.offset+int64(len(s.buf)):
		return s.link.wrap("write", fmt.Errorf("the stream has %d bytes; %d were written", c.Offset, s.offset+int64(len(s.buf))))
	}
	// The frame of the end has no bytes, so that a consumer that has freed all
	// others leaves nothing behind but the mark.
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.save(ctx, c, true)
}

// Close disconnects. Bytes that were not saved can be on the edge or not.
func (s *sink) Close() error {
	if s.link != nil {
		s.link.close()
		s.settle()
	}
	return nil
}

// run sends frames and takes answers until done returns true. It sends the queued
// frames, as far as the window allows, even if done returns true at once.
func (s *sink) run(ctx context.Context, done func() bool) error {
	for {
		for len(s.answers) > 0 {
			if err := s.answered(<-s.answers); err != nil {
				return err
			}
		}
		if !s.lost && s.hold.IsZero() {
			s.transmit()
		}
		if done() {
			return nil
		}
		if s.lost {
			if err := s.resync(ctx); err != nil {
				return err
			}
			continue
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// wait waits until something happens or it is time to try again.
func (s *sink) wait(ctx context.Context) error {
	// A process that stood still handles the messages that have arrived before it
	// judges.
	unread := len(s.answers) > 0 || len(s.link.signals) > 0 || len(s.link.reconnected) > 0
	if time.Since(s.alive) > s.edge.stall() && !unread {
		err := s.trouble
		if err == nil {
			err = nats.ErrTimeout
		}
		return s.link.wrap("write", s.link.away("write", err))
	}
	pause := answerTime
	if !s.hold.IsZero() {
		pause = time.Until(s.hold)
	}
	defer s.waiting(s.refused > 0)()
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case m := <-s.answers:
		return s.answered(m)
	case m := <-s.link.signals:
		if by, ok := strings.CutPrefix(string(m.Data), signalProducer); ok && by != s.by {
			return s.link.wrap("write", errSuperseded)
		}
		if s.refused > 0 { // the consumer may have made room
			s.hold = time.Time{}
		}
	case <-s.link.reconnected:
		s.lost = true
	case <-t.C:
		// Nothing has arrived for a long time, or the server may be there again.
		s.lost = s.hold.IsZero() || s.trouble != nil
		s.hold = time.Time{}
	case <-s.link.broken:
		return s.link.wrap("write", s.link.err())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// transmit sends frames until the window is full.
func (s *sink) transmit() {
	for s.sent < min(s.window, len(s.queue)) {
		f, expected := s.queue[s.sent], s.last+uint64(s.sent)
		h, err := f.header()
		if err == nil {
			h[jetstream.ExpectedLastSeqHeader] = []string{strconv.FormatUint(expected, 10)}
			h[jetstream.ExpectedStreamHeader] = []string{s.edge.Name}
			reply := fmt.Sprintf("%s%d.%d", s.prefix, s.attempt, expected+1)
			err = s.link.nc.PublishMsg(&nats.Msg{Subject: s.edge.subject(), Reply: reply, Header: h, Data: f.data})
		}
		if err != nil {
			s.troubled(err)
			return
		}
		s.sent++
	}
}

// again makes the sink begin again with the first frame of the queue, after a
// while.
func (s *sink) again(after time.Duration) {
	s.attempt++
	s.sent, s.window = 0, 1
	s.hold = time.Now().Add(after)
}

// troubled makes the sink check which frames are stored, after a while.
func (s *sink) troubled(err error) {
	s.trouble, s.refused = err, 0
	s.again(200 * time.Millisecond)
}

// answered takes an answer to a frame.
func (s *sink) answered(m *nats.Msg) error {
	var attempt int
	var seq uint64
	if _, err := fmt.Sscanf(strings.TrimPrefix(m.Subject, s.prefix), "%d.%d", &attempt, &seq); err != nil || attempt != s.attempt || seq <= s.last {
		return nil // of an attempt that was given up
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		s.troubled(nats.ErrNoResponders)
		return nil
	}
	var answer struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return s.link.wrap("write", fmt.Errorf("answer of the server: %w", err))
	}
	switch e := answer.Error; {
	case e == nil && answer.Sequence == seq:
		// The frames before have been stored, too: else this one would have been
		// refused.
		s.acknowledged(seq)
	case e == nil:
		return s.link.wrap("write", fmt.Errorf("the server stored frame %d as %d: another program changes the stream", seq, answer.Sequence))
	case e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence, e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		s.lost = true
	case e.ErrorCode == codeStoreFailed && strings.Contains(e.Description, "maximum"): // bytes exceeded
		s.alive, s.trouble = time.Now(), nil
		s.refused++
		s.refusals.Add(1)
		s.again(min(fullWait<<min(s.refused-1, 20), fullMost))
	case e.Code == 503:
		s.troubled(e)
	default:
		return s.link.wrap("write", e)
	}
	return nil
}

// acknowledged takes the frames up to number seq out of the queue.
func (s *sink) acknowledged(seq uint64) {
	n := int(seq - s.last)
	for _, f := range s.queue[:n] {
		if cap(f.data) == s.size {
			s.spare = append(s.spare, f.data)
		}
	}
	s.queue = append(s.queue[:0], s.queue[n:]...)
	s.last = seq
	s.sent = max(0, s.sent-n)
	s.refused, s.trouble, s.alive = 0, nil, time.Now()
	s.window = min(2*s.window, s.frames())
}

// resync finds out which frames are stored, after a new connection or an answer
// that was unexpected, and begins again with the first one that is not.
func (s *sink) resync(ctx context.Context) error {
	l := s.link
	defer s.waiting(false)()
	var f *frame
	var seq uint64
	err := l.persist(ctx, "write", func(ctx context.Context) error {
		_, info, err := l.open(ctx)
		if err != nil {
			return gone(err)
		}
		if info.Config.Metadata[metaID] != s.id {
			return gone(jetstream.ErrStreamNotFound)
		}
		f, seq, err = lastFrame(ctx, s.stream)
		return gone(err)
	})
	switch {
	case err != nil:
		return err
	case seq < s.last:
		return l.wrap("write", errLost)
	case seq > s.last:
		n := seq - s.last
		if f.By != s.by || n > uint64(len(s.queue)) {
			return l.wrap("write", errSuperseded)
		}
		if q := s.queue[n-1]; q.Offset != f.Offset || q.CRC != f.CRC {
			return l.wrap("write", fmt.Errorf("frame %d is not what was sent: another program changes the stream", seq))
		}
		s.acknowledged(seq)
	}
	s.lost, s.trouble, s.refused = false, nil, 0
	s.again(0)
	s.hold = time.Time{}
	return nil
}

// frames returns how many frames a full window has.
func (s *sink) frames() int { return max(1, windowSize/s.size) }
