package weirhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"path"
	"time"

	"github.com/weir-go/weir/weirhttp/internal/names"
)

// UploadStore keeps the uploads of an [Uploads] that do not go into a local folder:
// finished files, and resumable uploads in progress, for each of them a small state and the
// content that has arrived. Several processes can share one store. They need neither locks
// nor clocks, because every change of a state is a compare-and-swap.
//
// A request that wants to work with an upload takes it over: it swaps in the state with the
// next epoch. From then on the request of an earlier epoch can neither change the state nor
// add to the content that later epochs see.
//
// The methods can be called concurrently. A method that does not find the upload returns an
// error that matches [fs.ErrNotExist]; one that has no space for it, an error that matches
// [syscall.ENOSPC]. Other errors, except those named here, are failures of the store.
type UploadStore interface {
	// Stat describes a finished file or a folder, as in FileStore.
	Stat(ctx context.Context, name string) (StoredFile, error)

	// Create stores the state of a new upload without content. It reserves space for
	// s.Size bytes, if the size is known. The error matches fs.ErrExist if there is an
	// upload with this id, which has only letters and digits.
	Create(ctx context.Context, id string, s UploadState) error

	// Read returns the state with its Offset, and its version. No two states that an
	// upload ever has get the same version. If the state says Placing and the content has
	// its name already, Read returns it as Done.
	Read(ctx context.Context, id string) (s UploadState, version string, err error)

	// Swap replaces the state if it still has this version. Otherwise the error matches
	// ErrUploadChanged. Offset does not count. Swap reserves more space if Size has grown.
	Swap(ctx context.Context, id, version string, s UploadState) error

	// Append opens the content of an upload whose epoch the caller has swapped in. The
	// content begins with everything that earlier epochs have flushed. The error matches
	// ErrUploadChanged if the upload has been taken over. When a later epoch was swapped
	// in, or the upload removed, the store calls lost, at most once and from a goroutine of
	// its own, but it can take some seconds to notice. ctx limits how long Append and Write
	// wait for memory. It can end before the content is closed.
	Append(ctx context.Context, id string, epoch int64, lost func()) (UploadContent, error)

	// Receive opens the content of an upload that arrives in one request. size is its
	// length, -1 if unknown. If the content is closed before Finish, nothing stays.
	Receive(ctx context.Context, size int64) (UploadContent, error)

	// Remove removes the upload if its state still has this version; otherwise the error
	// matches ErrUploadChanged. A file that has its name stays.
	Remove(ctx context.Context, id, version string) error

	// Sweep removes each upload that has not changed since before, except those for which
	// claim returns false, and the remains of killed processes. It calls release after
	// each one that claim has allowed. It must not remove content that is being appended
	// to by any process.
	Sweep(ctx context.Context, before time.Time, claim func(id string) (release func(), ok bool)) error
}

// UploadContent is the content of an upload during one epoch, or one request. It is for one
// goroutine.
type UploadContent interface {
	// Write adds p at the end. It waits while there is no memory for it.
	io.Writer

	// Size returns the length of the content.
	Size() int64

	// Cut removes everything behind the first n bytes, which include those flushed.
	Cut(n int64) error

	// Checkpoint saves the bytes that cost little to save. It is called from time to time
	// while bytes arrive, so that a process that dies does not lose all of them.
	Checkpoint() error

	// Flush saves all bytes. From now on nobody reads a smaller Offset. Content of Receive
	// keeps no more memory, because it can have to wait for other files of a form.
	Flush() error

	// Reader returns a reader of all bytes. It is read to its end or its first error.
	Reader() io.Reader

	// Finish saves the content as a file, whole and in one step, under the first of the
	// names of to that to.Check accepts, and returns that name. replaced says that another
	// file had it. Of several Finish calls for one resumable upload, in any epochs and
	// processes, at most one creates a file, and the others return its name; the state
	// says Placing. Content of Receive belongs to one request and is finished once. After
	// an error without a name the content stays as it was.
	Finish(to UploadTarget) (name string, replaced bool, err error)

	// Withdraw removes the file that Finish has created, unless it was changed.
	Withdraw() error

	// Close ends the epoch or the request. It must be called, also after Finish.
	Close() error
}

// ErrUploadChanged is the error of a compare-and-swap that another request has won; see
// [UploadStore].
var ErrUploadChanged = errChanged

// UploadState is the state of an upload in progress. Its size does not depend on how much
// has arrived.
type UploadState struct {
	Epoch   int64  // how often a request has taken over the upload; the first one is 1
	Size    int64  // bytes of the whole file; -1: unknown
	Placing bool   // the upload is complete, and has its name or is about to get it
	Done    bool   // it has its name; the state stays for clients that missed the answer
	Data    []byte // JSON with everything else

	Offset int64 // bytes that have arrived; the store knows
}

// UploadTarget is the name that a finished upload should get, and what to do about a file
// that has it already.
type UploadTarget struct {
	Name string // path from the root of the store, as in StoredFile
	rule rule
}

// Names returns the names to try, one after the other: Name, and unless the upload may have
// no other name, "a (2).txt", "a (3).txt", and so on.
func (t UploadTarget) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for n := 1; ; n++ {
			if !yield(names.Numbered(t.Name, n)) || t.rule.mode != keepBoth || n == names.MostNumbered+10 {
				return
			}
		}
	}
}

// Check reports whether the upload can get a name. at is the file or folder that has the
// name now, nil if none has. If Check returns nil and at is not nil, the upload is to
// replace that version of it. An error that matches [fs.ErrExist] means that the store
// should try the next name. Any other error means that the upload is refused.
func (t UploadTarget) Check(name string, at *StoredFile) error {
	r := t.rule
	if name == t.Name {
		switch {
		case at == nil && r.Match != "":
			return errTerms
		case at == nil:
			return nil
		case r.mode == onlyNew:
			return fs.ErrExist
		case r.mode == replace && at.Folder:
			return errFolderThere
		case r != (rule{}) && !r.Met(at.tag(), at.Modified):
			return errTerms
		}
	}
	if at != nil && r.mode != replace {
		return fs.ErrExist
	}
	return nil
}

// ownStore makes an uploadStore of an UploadStore.
type ownStore struct {
	set *settings
	to  UploadStore
}

// exported returns a state as an UploadStore keeps it.
func exported(s uploadState) (UploadState, error) {
	data, err := json.Marshal(s)
	out := UploadState{Epoch: s.Epoch, Size: s.Size, Placing: s.Phase == uploadPlacing, Done: s.Phase == uploadDone, Data: data}
	if s.Deferred {
		out.Size = -1
	}
	return out, err
}

// imported is the reverse of exported.
func imported(in UploadState) (s uploadState, err error) {
	if err := json.Unmarshal(in.Data, &s); err != nil {
		return s, fmt.Errorf("read the state of the upload: %w", err)
	}
	s.Epoch, s.Offset = in.Epoch, in.Offset
	switch {
	case in.Done:
		s.Phase = uploadDone
	case in.Placing:
		s.Phase = uploadPlacing
	default:
		s.Phase = uploadArriving
	}
	return s, nil
}

// allows implements uploadStore.
func (o *ownStore) allows(want string, r rule) error { return o.admits(context.Background(), want, r) }

// admits refuses an upload that could not get its name if it was complete now.
func (o *ownStore) admits(ctx context.Context, want string, r rule) error {
	if r == (rule{}) {
		return nil // it gets another name if this one is taken
	}
	f, err := o.to.Stat(ctx, want)
	at := &f
	if errors.Is(err, fs.ErrNotExist) {
		at, err = nil, nil
	}
	if err == nil {
		err = UploadTarget{want, r}.Check(want, at)
	}
	if errors.Is(err, fs.ErrExist) && r.mode == keepBoth {
		return nil
	}
	return err
}

// create implements uploadStore.
func (o *ownStore) create(ctx context.Context, id string, s uploadState) error {
	s.Epoch = 1
	out, err := exported(s)
	if err == nil {
		err = o.to.Create(context.WithoutCancel(ctx), id, out)
	}
	return err
}

// read implements uploadStore.
func (o *ownStore) read(ctx context.Context, id string) (s uploadState, version string, err error) {
	if !isUploadID(id) {
		return s, "", fs.ErrNotExist
	}
	in, version, err := o.to.Read(context.WithoutCancel(ctx), id)
	if err == nil {
		s, err = imported(in)
	}
	return s, version, err
}

// swap implements uploadStore.
func (o *ownStore) swap(ctx context.Context, id, version string, s uploadState) error {
	out, err := exported(s)
	if err == nil {
		err = o.to.Swap(context.WithoutCancel(ctx), id, version, out)
	}
	return err
}

// append implements uploadStore.
func (o *ownStore) append(ctx context.Context, id string, epoch int64, lost func()) (uploadContent, error) {
	if wait, ok := ctx.Value(waitKey{}).(context.Context); ok {
		ctx = wait
	}
	c, err := o.to.Append(ctx, id, epoch, lost)
	if err != nil {
		return nil, err
	}
	return &ownContent{c}, nil
}

// remove implements uploadStore.
func (o *ownStore) remove(ctx context.Context, id, version string) error {
	return o.to.Remove(context.WithoutCancel(ctx), id, version)
}

// leastAge is how long every upload stays in a store. A store cannot tell the upload of a
// killed process from one that another process still receives, except by its age.
const leastAge = 24 * time.Hour

// sweep implements uploadStore.
func (o *ownStore) sweep(ctx context.Context, before time.Time, claim func(id string) (release func(), ok bool)) error {
	if most := time.Now().Add(-leastAge); before.After(most) {
		before = most
	}
	return o.to.Sweep(ctx, before, claim)
}

// folderOf implements target.
func (o *ownStore) folderOf(r *http.Request) (string, error) {
	return chosenFolder(o.set.folders, r, func(dir, name string) (isFolder, exists bool) {
		f, err := o.to.Stat(r.Context(), path.Join(dir, name))
		return err == nil && f.Folder, err == nil
	})
}

// receive implements target.
func (o *ownStore) receive(ctx context.Context, n int64) (newFile, error) {
	c, err := o.to.Receive(ctx, n)
	if err != nil {
		return nil, err
	}
	return &ownFile{o, c}, nil
}

// ownContent makes an uploadContent of an UploadContent.
type ownContent struct{ UploadContent }

func (c *ownContent) size() int64        { return c.Size() }
func (c *ownContent) cut(n int64) error  { return taken(c.Cut(n)) }
func (c *ownContent) flush() error       { return taken(c.Flush()) }
func (c *ownContent) checkpoint() error  { return taken(c.Checkpoint()) }
func (c *ownContent) content() io.Reader { return c.Reader() }
func (c *ownContent) close() error       { return c.Close() }

// Write adds p at the end.
func (c *ownContent) Write(p []byte) (int, error) {
	n, err := c.UploadContent.Write(p)
	return n, taken(err)
}

// taken turns the error of a compare-and-swap that another request has won into the one
// that ends this request.
func taken(err error) error {
	if errors.Is(err, errChanged) {
		return errTaken
	}
	return err
}

// finish implements uploadContent.
func (c *ownContent) finish(want string, r rule, _ bool) (got Received, replaced bool, err error) {
	n := c.Size()
	name, replaced, err := c.Finish(UploadTarget{want, r})
	if name != "" {
		got = Received{Name: name, Size: n}
	}
	return got, replaced, taken(err)
}

// ownFile is a file that one request is writing into a store.
type ownFile struct {
	o *ownStore
	c UploadContent // nil after abort
}

// Write appends p to the file.
func (f *ownFile) Write(p []byte) (int, error) { return f.c.Write(p) }

// finish implements newFile. A form calls it for each of its files before the first one gets
// its name.
func (f *ownFile) finish() error { return taken(f.c.Flush()) }

// publish implements newFile.
func (f *ownFile) publish(want string, r rule) (got Received, replaced bool, err error) {
	return (&ownContent{f.c}).finish(want, r, false)
}

// withdraw implements newFile.
func (f *ownFile) withdraw(Received) error { return f.c.Withdraw() }

// abort implements newFile.
func (f *ownFile) abort() {
	if f.c == nil {
		return
	}
	if err := f.c.Close(); err != nil {
		f.o.set.log.Error("cannot remove what is left of an upload", "error", err)
	}
	f.c = nil
}

// checkpoints is how many bytes of an upload can arrive before a store is asked to save
// them.
const checkpoints = 64 << 20

// saving is a writer that saves the content from time to time.
type saving struct {
	uploadContent
	save func() error
	n    int64 // bytes since then
}

func (s *saving) Write(p []byte) (int, error) {
	n, err := s.uploadContent.Write(p)
	if s.n += int64(n); err == nil && s.n >= checkpoints {
		s.n = 0
		err = s.save()
	}
	return n, err
}
