package nats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir/endpoint"
)

// errLost is the cause if the server does not have frames that it acknowledged.
var errLost = errors.New("the server has lost frames; it must sync (jetstream { sync_interval: always }) to survive a power cut")

// errFreed is the cause if an edge does not have the bytes any more.
var errFreed = errors.New("another consumer has read what was before, and has freed it")

// errAbsent is the error of an edge that does not exist. It matches fs.ErrNotExist, whose
// text is about a file.
var errAbsent error = absence{}

type absence struct{}

func (absence) Error() string        { return "no such edge" }
func (absence) Is(target error) bool { return target == fs.ErrNotExist }

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
	l, err := connect(ctx, e)
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
