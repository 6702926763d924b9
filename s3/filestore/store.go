package filestore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/s3/internal/access"
	"github.com/weir-go/weir/weirhttp"
)

// Options are the settings of a Store. The zero value is ready to use.
type Options struct {
	// Store has the settings that the URL does not set. Of its PartSize and Parallel,
	// only PartSize is used.
	Store s3.Store

	// HTTP has the options for requests to the store. Header is not used.
	HTTP endpoint.HTTPOptions

	// Budget provides the parts of all uploads. It should be used for nothing else: an
	// upload that waits for a part of 8 MiB would hold up all other users of
	// it. It limits the size of a file to 4,500 times the budget. Nil means 128 MiB.
	Budget *weir.Budget

	// Quota is the most bytes of files under the prefix, including uploads under way;
	// zero means no limit. It holds for all servers together, if all of them have it. With
	// a quota, each upload lists the files under the prefix: one request for 1,000 files.
	Quota int64

	// Log gets the errors of cleanups; nil means slog.Default().
	Log *slog.Logger
}

// Store is a prefix of a bucket as a [weirhttp.FileStore] and [weirhttp.UploadStore]. It can
// be used concurrently.
type Store struct {
	b      bucket
	quota  int64
	log    *slog.Logger
	budget *weir.Budget
	watch  time.Duration // between two looks of a request whether it has lost its upload
	short  int           // parts before only full ones are sent; see mostShort

	mu    sync.Mutex        // guards known
	known map[string]*entry // the newest states that this process knows of

	pending atomic.Int64 // uploads in progress, about
}

var (
	_ weirhttp.FileStore   = (*Store)(nil)
	_ weirhttp.UploadStore = (*Store)(nil)
)

// Open opens the store behind s3://bucket/prefix. It sends no request. Close the store when
// no handler uses it any more.
func Open(name string, o Options) (*Store, error) {
	b, err := access.Open(o.Store, name, o.HTTP)
	if err != nil {
		return nil, err
	}
	s := &Store{b: bucket{b}, quota: o.Quota, log: o.Log, budget: o.Budget, watch: 5 * time.Second, short: mostShort, known: make(map[string]*entry)}
	s.log = cmp.Or(s.log, slog.Default())
	if s.budget == nil {
		s.budget = weir.NewBudget(defaultBudget)
	}
	if least := b.PartSize(0); s.budget.Total() < least {
		b.Close()
		return nil, fmt.Errorf("filestore: a budget of %s is less than one part of %s", weir.FormatBytes(s.budget.Total()), weir.FormatBytes(least))
	}
	return s, nil
}

const defaultBudget = 128 << 20

// Close closes the connections to the store.
func (s *Store) Close() error {
	s.b.Close()
	return nil
}

// String returns the URL of the prefix.
func (s *Store) String() string { return s.b.URL(s.b.Prefix) }

// Probe finds out whether the store honours the conditions that servers depend on when they
// share it: many stores accept them and ignore them. It writes about 11 MiB under the prefix
// and removes them again. An error says which check has failed, or why the store could not be
// asked.
func (s *Store) Probe(ctx context.Context) (err error) {
	p := &probe{s, s.hidden() + probeID + "/" + rand.Text() + "/"}
	defer func() {
		ctx, cancel := lasting(ctx)
		defer cancel()
		if cerr := s.b.removeAll(ctx, p.at); cerr != nil && err == nil {
			err = fmt.Errorf("filestore: remove the probe: %w", cerr)
		}
	}()
	for _, check := range []struct {
		what string
		f    func(context.Context) error
	}{
		{"of 8 requests that create one object with If-None-Match, exactly one succeeds", p.creates},
		{"If-Match refuses to replace an object that has changed", p.replaces},
		{"a multipart upload of three parts, whose numbers have gaps, has all their bytes", p.assembles},
		{"a multipart upload with If-None-Match does not replace an object", p.completes},
	} {
		var broken brokenPromise
		err := check.f(ctx)
		switch {
		case errors.As(err, &broken):
			return fmt.Errorf("filestore: %s: %w; the failed check is: %s (%w)", s, ErrUnsafe, check.what, err)
		case err != nil:
			return fmt.Errorf("filestore: cannot check %s: %w", s, err)
		}
	}
	return nil
}

// probeID is the name of the folder for probes, beside the folders of uploads.
const probeID = "probe"

// key returns the key of a file.
func (s *Store) key(name string) string {
	if name == "." {
		return s.b.Prefix
	}
	return s.b.Prefix + name
}

// hiddenDir is the folder of all objects that are not files. Clients never see its name.
const hiddenDir = ".weir-uploads/"

func (s *Store) hidden() string              { return s.b.Prefix + hiddenDir }
func (s *Store) stateKey(id string) string   { return s.hidden() + id + stateSuffix }
func (s *Store) contents(id string) string   { return s.hidden() + id + "/" }
func (s *Store) quotaPrefix() string         { return s.hidden() + "quota/" }
func (s *Store) part(id, name string) string { return s.contents(id) + name }

const stateSuffix = ".json"

// idOf returns the id of the upload that a key below hidden belongs to, and the rest.
func (s *Store) idOf(key string) (id, rest string) {
	key = strings.TrimPrefix(key, s.hidden())
	if i := strings.IndexAny(key, "./"); i >= 0 {
		return key[:i], key[i:]
	}
	return key, ""
}

// Stat implements [weirhttp.FileStore]. If a file and a folder have the same name, it
// describes the file.
func (s *Store) Stat(ctx context.Context, name string) (weirhttp.StoredFile, error) {
	if name != "." {
		o, err := s.b.head(ctx, s.key(name))
		if err == nil {
			return s.file(o), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return weirhttp.StoredFile{}, err
		}
	}
	folder := weirhttp.StoredFile{Name: name, Folder: true}
	if name == "." {
		return folder, nil
	}
	if found, err := s.b.hasAny(ctx, s.key(name)+"/"); found || err != nil {
		return folder, err
	}
	return weirhttp.StoredFile{}, &fs.PathError{Op: "find", Path: s.b.URL(s.key(name)), Err: fs.ErrNotExist}
}

// file describes an object as a file.
func (s *Store) file(o object) weirhttp.StoredFile {
	return weirhttp.StoredFile{
		Name: strings.TrimPrefix(o.key, s.b.Prefix), Size: o.info.Size, Modified: o.info.LastModified, Version: o.etag(),
	}
}

// List implements [weirhttp.FileStore].
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[weirhttp.StoredFile, error] {
	prefix := s.key(folder)
	if folder != "." {
		prefix += "/"
	}
	return func(yield func(weirhttp.StoredFile, error) bool) {
		for o, err := range s.b.list(ctx, prefix, false) {
			if err != nil {
				yield(weirhttp.StoredFile{}, err)
				return
			}
			rest := strings.TrimPrefix(o.key, prefix)
			name, isFolder := strings.CutSuffix(rest, "/")
			if name == "" || name == "." || name == ".." || o.key == s.hidden() {
				continue // a mark that there is a folder, or an object that no URL can name
			}
			f := s.file(o)
			if isFolder {
				f = weirhttp.StoredFile{Name: strings.TrimSuffix(f.Name, "/"), Folder: true}
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// Open implements [weirhttp.FileStore].
func (s *Store) Open(ctx context.Context, f weirhttp.StoredFile, off, n int64) (io.ReadCloser, error) {
	return &reading{s.b.Range(ctx, s.key(f.Name), f.Size, f.Version, off, off+n)}, nil
}

// reading is a range of a file.
type reading struct{ io.ReadCloser }

// Read turns the error of a file that has changed into the error of weirhttp.
func (r *reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if errors.Is(err, endpoint.ErrChanged) || errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(weirhttp.ErrChanged, err)
	}
	return n, err
}

// know remembers a state.
func (s *Store) know(id string, e *entry) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knowLocked(id, e)
}

// knowLocked is know for a caller that holds mu.
func (s *Store) knowLocked(id string, e *entry) *entry {
	if len(s.known) >= mostKnown {
		for old := range s.known { // any: it only saves a request
			delete(s.known, old)
			break
		}
	}
	s.known[id] = e
	return e
}

// mostKnown limits the states in memory.
const mostKnown = 1000

func (s *Store) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// remembered returns the state that this process has seen last, nil if none.
func (s *Store) remembered(id string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id]
}

// load reads a state. It remembers it unless another one was remembered in the meantime, which
// can be newer.
func (s *Store) load(ctx context.Context, id string) (*entry, error) {
	before := s.remembered(id)
	data, etag, err := s.b.get(ctx, s.stateKey(id))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			s.forget(id)
		}
		return nil, err
	}
	e := &entry{etag: etag}
	if err := json.Unmarshal(data, &e.record); err != nil {
		return nil, fmt.Errorf("read the state of upload %s: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id] == before {
		s.knowLocked(id, e)
	}
	return e, nil
}

// loadLive is load for an upload that was not removed.
func (s *Store) loadLive(ctx context.Context, id string) (*entry, error) {
	e, err := s.load(ctx, id)
	if err == nil && e.Phase == deleted {
		return nil, removedError(id)
	}
	return e, err
}

// removedError is the error of an upload with this id that was removed. It matches
// fs.ErrNotExist, whose text is about a file.
type removedError string

func (id removedError) Error() string { return fmt.Sprintf("upload %s was removed", string(id)) }

// Is makes the error match fs.ErrNotExist.
func (removedError) Is(target error) bool { return target == fs.ErrNotExist }

// write writes a state under a condition. The error matches weirhttp.ErrUploadChanged if the
// condition does not hold.
func (s *Store) write(ctx context.Context, id string, r record, c condition) (*entry, error) {
	r.Nonce = rand.Text()
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	for range mostConflicts {
		etag, open, err := s.b.put(ctx, s.stateKey(id), body, c, "")
		if err == nil && etag != "" {
			return s.know(id, &entry{r, etag}), nil
		}
		if err != nil && !open && !isConflict(err) {
			if isLost(err) {
				err = weirhttp.ErrUploadChanged
			}
			return nil, err
		}
		// The object itself says whether an attempt had its effect. If it still is the
		// old one after a conflict, the store has not decided.
		now, lerr := s.load(ctx, id)
		switch {
		case lerr == nil && now.Nonce == r.Nonce:
			return now, nil
		case isConflict(err) && (lerr == nil && now.etag == c.etag || c.absent && errors.Is(lerr, fs.ErrNotExist)):
			continue
		case lerr != nil && !errors.Is(lerr, fs.ErrNotExist):
			// A caller that learns that the upload has changed may try again, but the state
			// can be ours.
			return nil, errors.Join(fmt.Errorf("whether the state was saved is not known: %w", lerr), err)
		case isConflict(err) || isLost(err):
			return nil, weirhttp.ErrUploadChanged
		case err == nil:
			err = errors.New("the store gave the object no ETag")
		}
		return nil, err
	}
	return nil, fmt.Errorf("save the state of the upload: the store answered %d times that another request is under way", mostConflicts)
}

// mostConflicts is how often a request is repeated that meets another one.
const mostConflicts = 20

// swap replaces a state.
func (s *Store) swap(ctx context.Context, id string, old *entry, r record) (*entry, error) {
	e, err := s.write(ctx, id, r, condition{etag: old.etag})
	if err != nil {
		s.forget(id)
	}
	return e, err
}

// Create implements [weirhttp.UploadStore].
func (s *Store) Create(ctx context.Context, id string, u weirhttp.UploadState) error {
	if s.pending.Load() >= mostPending {
		return fmt.Errorf("%w: %d resumable uploads are pending", syscall.ENOSPC, mostPending)
	}
	if most := s.most(); u.Size > most {
		return &http.MaxBytesError{Limit: most}
	}
	r := record{Epoch: 1, Size: u.Size, Data: u.Data, Room: max(u.Size, 0)}
	if err := s.reserve(ctx, id, 0, r.Room); err != nil {
		return err
	}
	_, err := s.write(ctx, id, r, condition{absent: true})
	if errors.Is(err, weirhttp.ErrUploadChanged) {
		return fmt.Errorf("create upload %s: %w", id, fs.ErrExist)
	}
	if err != nil {
		s.release(ctx, id, r.Room)
		return err
	}
	s.pending.Add(1)
	return nil
}

// mostPending limits the uploads in progress.
const mostPending = 10_000

// most returns the size of the largest file: its parts must fit into the budget, with room
// for another upload.
func (s *Store) most() int64 {
	return min(s.budget.Total()/2, mostPart) * plannedParts
}

const (
	mostPart     = 5 << 30
	plannedParts = 9_000
	mostParts    = 10_000
)

// Read implements [weirhttp.UploadStore].
func (s *Store) Read(ctx context.Context, id string) (weirhttp.UploadState, string, error) {
	e, err := s.loadLive(ctx, id)
	if err != nil {
		return weirhttp.UploadState{}, "", err
	}
	u := weirhttp.UploadState{Epoch: e.Epoch, Size: e.Size, Placing: e.Phase == placing, Done: e.Phase == done, Data: e.Data, Offset: e.Offset}
	if u.Placing && e.Place != nil {
		if u.Done, err = s.isPlaced(ctx, id, e.Place.Name); err != nil {
			return weirhttp.UploadState{}, "", err
		}
		u.Placing = !u.Done
	}
	return u, e.etag, nil
}

// isPlaced reports whether the file with this name is from the upload.
func (s *Store) isPlaced(ctx context.Context, id, name string) (bool, error) {
	o, err := s.b.head(ctx, s.key(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && o.mark == id, err
}

// at returns the state with this version.
func (s *Store) at(ctx context.Context, id, version string) (*entry, error) {
	if e := s.remembered(id); e != nil && e.etag == version {
		return e, nil
	}
	e, err := s.loadLive(ctx, id)
	if err == nil && e.etag != version {
		err = weirhttp.ErrUploadChanged
	}
	return e, err
}

// Swap implements [weirhttp.UploadStore].
func (s *Store) Swap(ctx context.Context, id, version string, u weirhttp.UploadState) error {
	old, err := s.at(ctx, id, version)
	if err != nil {
		return err
	}
	r := old.record
	r.Epoch, r.Size, r.Phase, r.Data = u.Epoch, u.Size, arriving, u.Data
	switch {
	case u.Placing:
		r.Phase = placing
	case u.Done:
		r.Phase = done
	}
	if r.Phase == arriving && r.Size > r.Room {
		if most := s.most(); r.Size > most {
			return &http.MaxBytesError{Limit: most}
		}
		if err := s.reserve(ctx, id, r.Room, r.Size); err != nil {
			return err
		}
		r.Room = r.Size
	}
	if _, err = s.swap(ctx, id, old, r); err == nil && r.Phase == done && old.Phase != done {
		s.pending.Add(-1)
	}
	return err
}

// Append implements [weirhttp.UploadStore].
func (s *Store) Append(ctx context.Context, id string, epoch int64, lost func()) (weirhttp.UploadContent, error) {
	long := context.WithoutCancel(ctx)
	e := s.remembered(id)
	if e == nil || e.Epoch < epoch {
		var err error
		if e, err = s.loadLive(long, id); err != nil {
			return nil, err
		}
	}
	if e.Epoch != epoch {
		return nil, weirhttp.ErrUploadChanged
	}
	c := s.newContent(ctx, id, e)
	c.epoch, c.size, c.saved, c.room = epoch, e.Offset, e.Offset, e.Room
	c.loaded = e.Tail == nil
	c.watching.Go(func() { c.watch(lost) })
	return c, nil
}

// Receive implements [weirhttp.UploadStore].
func (s *Store) Receive(ctx context.Context, size int64) (weirhttp.UploadContent, error) {
	if size > s.most() {
		return nil, tooLarge(s.most())
	}
	id := strings.ToLower(rand.Text())
	if err := s.reserve(context.WithoutCancel(ctx), id, 0, size); err != nil {
		return nil, err
	}
	c := s.newContent(ctx, id, &entry{record: record{Size: size}})
	c.raw, c.epoch, c.loaded, c.room = true, 1, true, max(size, 0)
	return c, nil
}

func (s *Store) newContent(ctx context.Context, id string, e *entry) *content {
	c := &content{s: s, id: id, wait: ctx, state: e, part: min(s.b.PartSize(e.Size), s.largest()), step: roomStep}
	if e.Tail != nil && e.Tail.Size >= c.part { // of a server with more memory
		c.part = s.b.MarkedSize(e.Tail.Size + 2<<20)
	}
	c.ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	return c
}

// largest returns the size of the largest part.
func (s *Store) largest() int64 { return max(s.b.MarkedSize(s.budget.Total()), s.b.PartSize(0)) }

// Remove implements [weirhttp.UploadStore].
func (s *Store) Remove(ctx context.Context, id, version string) error {
	old, err := s.at(ctx, id, version)
	if err != nil {
		return err
	}
	if p := old.Place; p != nil && old.Phase == placing {
		// An older request may be about to give the file its name. It must not do that
		// after we have said that the upload is gone.
		if p.Upload != "" {
			if _, err := s.b.abort(ctx, s.key(p.Name), p.Upload); err != nil {
				return err
			}
		}
		if placed, err := s.isPlaced(ctx, id, p.Name); err != nil {
			return err
		} else if placed {
			r := old.record
			r.Phase = done
			if _, err := s.swap(ctx, id, old, r); err != nil {
				return err
			}
			return weirhttp.ErrUploadChanged
		}
	}
	r := old.record
	r.Phase = deleted
	e, err := s.swap(ctx, id, old, r)
	if err != nil {
		return err
	}
	if old.Phase != done {
		s.pending.Add(-1)
	}
	return s.clear(ctx, id, e)
}

// clear removes the objects of an upload, and its state last.
func (s *Store) clear(ctx context.Context, id string, e *entry) error {
	if p := e.Place; p != nil && p.Upload != "" && e.Phase != done {
		if _, err := s.b.abort(ctx, s.key(p.Name), p.Upload); err != nil {
			return err
		}
	}
	if err := s.b.removeAll(ctx, s.contents(id)); err != nil {
		return err
	}
	s.release(ctx, id, e.Room)
	err := s.b.remove(ctx, s.stateKey(id))
	s.forget(id)
	return err
}

// Sweep implements [weirhttp.UploadStore]. It also removes the remains of uploads that are
// complete, and of those that a killed process was receiving in one request.
func (s *Store) Sweep(ctx context.Context, before time.Time, claim func(id string) (release func(), ok bool)) error {
	type found struct {
		state, newest time.Time // zero: none
		content       bool
	}
	uploads := make(map[string]*found)
	var probes []string // probes that killed processes left
	for o, err := range s.b.list(ctx, s.hidden(), true) {
		if err != nil {
			return err
		}
		id, rest := s.idOf(o.key)
		if id == "quota" {
			id, _ = s.idOf(s.hidden() + rest[1:])
		}
		if id == probeID {
			if o.info.LastModified.Before(before) {
				probes = append(probes, o.key)
			}
			continue
		}
		f := uploads[id]
		if f == nil {
			f = &found{}
			uploads[id] = f
		}
		if rest == stateSuffix {
			f.state = o.info.LastModified
		} else {
			f.content = true
		}
		if o.info.LastModified.After(f.newest) {
			f.newest = o.info.LastModified
		}
	}
	var all error
	for _, key := range probes {
		all = errors.Join(all, s.b.remove(ctx, key))
	}
	pending := int64(0)
	for id, f := range uploads {
		if f.state.IsZero() && !f.newest.Before(before) || !f.state.IsZero() && !f.content && !f.state.Before(before) {
			continue // young, or complete and waiting for clients that ask
		}
		release, ok := claim(id)
		if !ok {
			pending++
			continue
		}
		left, err := s.expire(ctx, id, !f.state.IsZero(), f.newest, before)
		release()
		if left {
			pending++
		}
		all = errors.Join(all, err)
		if ctx.Err() != nil {
			return errors.Join(all, ctx.Err())
		}
	}
	s.pending.Store(pending)
	return errors.Join(all, s.b.Sweep(ctx, before, func(key string, empty bool) bool {
		// Nobody else writes what is hidden: probes have parts of any size. An upload
		// without parts has no mark, and in a whole bucket it can be anybody's.
		return empty && s.b.Prefix != "" || strings.HasPrefix(key, s.hidden())
	}))
}

// expire removes an upload if it has not changed since before, and the remains of one that
// is complete. It reports whether the upload is still in progress.
func (s *Store) expire(ctx context.Context, id string, hasState bool, newest, before time.Time) (left bool, err error) {
	if !hasState {
		if _, err := s.load(ctx, id); err == nil {
			return true, nil // it was created while we were listing
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		s.releaseAll(ctx, id)
		return false, s.b.removeAll(ctx, s.contents(id))
	}
	e, err := s.load(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // another process has swept it; the remains go the next time
	}
	if err != nil {
		return false, err
	}
	old := newest.Before(before)
	if e.Phase == placing && e.Place != nil {
		if placed, err := s.isPlaced(ctx, id, e.Place.Name); err != nil {
			return true, err
		} else if placed {
			r := e.record
			r.Phase = done
			if e, err = s.swap(ctx, id, e, r); err != nil {
				return false, nil // somebody works with it
			}
		}
	}
	switch {
	case e.Phase == deleted, e.Phase == done && old:
		return false, s.clear(ctx, id, e)
	case e.Phase == done:
		s.release(ctx, id, e.Room)
		return false, s.b.removeAll(ctx, s.contents(id))
	case !old:
		return true, nil
	}
	r := e.record
	r.Phase = deleted
	if e, err = s.swap(ctx, id, e, r); err != nil {
		if errors.Is(err, weirhttp.ErrUploadChanged) {
			return true, nil // a request has come
		}
		return true, err
	}
	return false, s.clear(ctx, id, e)
}

// runs returns all parts of an upload, in order.
func (s *Store) runs(ctx context.Context, id string, r *record) ([]run, error) {
	lists := [][]run{r.Runs}
	for name := r.Index; name != ""; {
		data, _, err := s.b.get(ctx, s.part(id, name))
		if err != nil {
			return nil, fmt.Errorf("read the list of parts: %w", err)
		}
		var x index
		if err := json.Unmarshal(data, &x); err != nil {
			return nil, fmt.Errorf("read the list of parts: %w", err)
		}
		lists = append(lists, x.Runs)
		name = x.Index
	}
	slices.Reverse(lists)
	return slices.Concat(lists...), nil
}

// reserve makes sure that an upload has n bytes of the quota, of which it has had bytes. Each
// reservation is an object whose name has the number. A server first writes its own, and then
// adds up all files and reservations, so of two servers that reserve at the same time at
// least one sees both.
func (s *Store) reserve(ctx context.Context, id string, had, n int64) error {
	if s.quota <= 0 || n <= had {
		return nil
	}
	key := s.roomKey(id, n)
	if _, _, err := s.b.put(ctx, key, nil, condition{}, ""); err != nil {
		return fmt.Errorf("reserve space: %w", err)
	}
	used, err := s.used(ctx)
	if err == nil && used > s.quota {
		err = fmt.Errorf("%w: %s of the quota of %s would be in use", syscall.ENOSPC, weir.FormatBytes(used), weir.FormatBytes(s.quota))
	}
	if err != nil {
		return errors.Join(err, s.b.remove(ctx, key))
	}
	if had > 0 {
		return s.b.remove(ctx, s.roomKey(id, had))
	}
	return nil
}

func (s *Store) roomKey(id string, n int64) string {
	return fmt.Sprintf("%s%s.%d", s.quotaPrefix(), id, n)
}

// used adds up the files under the prefix and the reservations.
func (s *Store) used(ctx context.Context) (int64, error) {
	files, rooms := int64(0), make(map[string]int64)
	for o, err := range s.b.list(ctx, s.b.Prefix, true) {
		if err != nil {
			return 0, fmt.Errorf("add up the files: %w", err)
		}
		if !strings.HasPrefix(o.key, s.hidden()) {
			files += o.info.Size
			continue
		}
		if id, n, ok := s.roomOf(o.key); ok {
			rooms[id] = max(rooms[id], n)
		}
	}
	for _, n := range rooms {
		files += n
	}
	return files, nil
}

// roomOf reads the key of a reservation.
func (s *Store) roomOf(key string) (id string, n int64, ok bool) {
	name, ok := strings.CutPrefix(key, s.quotaPrefix())
	id, text, dot := strings.Cut(name, ".")
	n, err := strconv.ParseInt(text, 10, 64)
	return id, n, ok && dot && err == nil
}

// release gives up a reservation. One that stays, because the store fails, is removed by a
// sweep.
func (s *Store) release(ctx context.Context, id string, n int64) {
	if s.quota <= 0 || n <= 0 {
		return
	}
	if err := s.b.remove(ctx, s.roomKey(id, n)); err != nil {
		s.log.Warn("reservation of an upload not removed", "upload", id, "error", err)
	}
}

// releaseAll gives up the reservations of an upload, whose size nobody knows any more.
func (s *Store) releaseAll(ctx context.Context, id string) {
	if err := s.b.removeAll(ctx, s.quotaPrefix()+id+"."); err != nil {
		s.log.Warn("reservations of an upload not removed", "upload", id, "error", err)
	}
}

// lasting returns a context for work that must be done even if its request has ended, with
// a time limit.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}

// patience is how long a store can take for one step of an upload that nobody waits for.
const patience = 5 * time.Minute
