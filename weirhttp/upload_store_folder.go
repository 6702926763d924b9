package weirhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/quota"
)

// folderStore keeps uploads in progress in a hidden folder. The content is in a file with
// the id of the upload as its name; a second file, the record, holds the state. The length
// of the first file says how far the upload has come, so that a crash of the server does
// not matter.
//
// Processes that share the folder use locks of the operating system, which end with their
// process: one on the file lockName while a record is compared and replaced, and one on
// the content while a request adds to it. Where the file system has no locks, only the
// requests of one process exclude each other.
type folderStore struct {
	d *folder

	swaps sync.RWMutex // held while a record is replaced; the lock between goroutines

	mu    sync.Mutex      // guards holds
	holds map[string]held // of the uploads in progress
}

// held is the space reserved for an upload.
type held struct {
	*quota.Hold
	stored bool // its files exist, or have existed
}

func newFolderStore(d *folder) *folderStore {
	return &folderStore{d: d, holds: make(map[string]held)}
}

const (
	recordSuffix = ".json"
	freshSuffix  = ".new" // of a record before it is renamed
	lockName     = names.UploadsDir + "/.lock"
)

func contentFile(id string) string { return names.UploadsDir + "/" + id }

func recordFile(id string) string { return names.UploadsDir + "/" + id + recordSuffix }

// mostPending limits the uploads in progress. Each costs two files and some memory, which
// Quota does not count.
const mostPending = 10_000

var errPending = fmt.Errorf("%w: %d resumable uploads are pending", quota.ErrNoSpace, mostPending)

// How long one process waits for the lock of another, and how often it tries.
const (
	lockPatience = 5 * time.Second
	lockPause    = 5 * time.Millisecond
)

// epochWatch is how often an append looks whether another process has taken over.
const epochWatch = 500 * time.Millisecond

// allows implements uploadStore.
func (s *folderStore) allows(want string, r rule) error {
	_, err := s.d.allows(want, r)
	return err
}

// create implements uploadStore.
func (s *folderStore) create(_ context.Context, id string, state uploadState) error {
	if err := s.enter(id, max(state.Size, 0)); err != nil {
		return err
	}
	err := s.write(id, state)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		s.removeFiles(id)
	}
	if err != nil {
		s.dropHold(id)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds[id] = held{s.holds[id].Hold, true}
	return nil
}

// enter reserves space for an upload of n bytes.
func (s *folderStore) enter(id string, n int64) error {
	h, err := s.d.ledger.Take(n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	full := len(s.holds) >= mostPending
	if !full {
		s.holds[id] = held{h, false}
	}
	s.mu.Unlock()
	if full {
		h.Release()
		return errPending
	}
	return nil
}

// write creates the two files of an upload.
func (s *folderStore) write(id string, state uploadState) error {
	root := s.d.root
	if err := root.Mkdir(names.UploadsDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create the folder for resumable uploads: %w", err)
	}
	// Only one request can create this file, so nobody else writes the record.
	f, err := root.OpenFile(contentFile(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("create a file for the upload: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create a file for the upload: %w", err)
	}
	state.Epoch = 1
	fresh, err := s.writeRecord(id, state)
	if err == nil {
		err = root.Rename(fresh, recordFile(id))
	}
	if err != nil {
		return fmt.Errorf("save the state of the upload: %w", err)
	}
	return nil
}

// writeRecord writes a state to a new file and returns the name of the file.
func (s *folderStore) writeRecord(id string, state uploadState) (string, error) {
	state.Nonce = newUploadID()
	data, err := json.Marshal(state)
	if err != nil {
		return "", err
	}
	fresh := contentFile(id) + "." + state.Nonce + freshSuffix
	f, err := s.d.root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil && s.d.set.sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, s.d.root.Remove(fresh))
	}
	return fresh, nil
}

// read implements uploadStore. An upload that is being placed and has no content any more
// has its name.
func (s *folderStore) read(_ context.Context, id string) (uploadState, string, error) {
	for {
		state, err := s.readRecord(id)
		if err != nil {
			return uploadState{}, "", err
		}
		if state.Phase == uploadDone {
			state.Offset = state.Size
			return state, state.Nonce, nil
		}
		st, err := s.d.root.Lstat(contentFile(id))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			again, rerr := s.readRecord(id)
			switch {
			case rerr != nil:
				return uploadState{}, "", rerr
			case again.Nonce != state.Nonce:
				continue // it got its name since we read the record
			case state.Phase != uploadPlacing:
				return uploadState{}, "", fmt.Errorf("find the content of the upload: %w", err)
			}
			state.Phase, state.Offset = uploadDone, state.Size
		case err != nil:
			return uploadState{}, "", fmt.Errorf("find the content of the upload: %w", err)
		case !st.Mode().IsRegular():
			return uploadState{}, "", fmt.Errorf("upload %s is not a regular file: %w", id, fs.ErrInvalid)
		default:
			state.Offset = st.Size()
		}
		return state, state.Nonce, nil
	}
}

// readRecord reads the record of an upload.
func (s *folderStore) readRecord(id string) (state uploadState, err error) {
	if !isUploadID(id) {
		return state, fs.ErrNotExist
	}
	// On Windows, a file that is being read cannot be replaced.
	s.swaps.RLock()
	defer s.swaps.RUnlock()
	return s.readRecordLocked(id)
}

// readRecordLocked is readRecord for a caller that holds swaps.
func (s *folderStore) readRecordLocked(id string) (state uploadState, err error) {
	data, err := s.d.root.ReadFile(recordFile(id))
	if err != nil {
		return state, fmt.Errorf("read the state of the upload: %w", err)
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("read the state of upload %s: %w", id, err)
	}
	return state, nil
}

// swap implements uploadStore.
func (s *folderStore) swap(ctx context.Context, id, version string, state uploadState) error {
	if state.Phase == uploadArriving && !state.Deferred {
		if err := s.holdOf(id).Need(state.Size); err != nil {
			return err
		}
	}
	// Writing can take long, so it comes before the lock.
	fresh, err := s.writeRecord(id, state)
	if err != nil {
		return fmt.Errorf("save the state of the upload: %w", err)
	}
	err = s.ifUnchanged(ctx, id, version, func() error { return s.d.root.Rename(fresh, recordFile(id)) })
	if err != nil {
		return errors.Join(err, s.d.root.Remove(fresh))
	}
	return nil
}

// ifUnchanged calls change, which replaces or removes the record, if it still has this
// version. No other process changes a record between the check and the call.
func (s *folderStore) ifUnchanged(ctx context.Context, id, version string, change func() error) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := s.readRecordLocked(id)
	if err != nil {
		return err
	}
	if now.Nonce != version {
		return errChanged
	}
	if err := change(); err != nil {
		return fmt.Errorf("save the state of the upload: %w", err)
	}
	return nil
}

// lock keeps other goroutines and processes from changing records until unlock is called.
func (s *folderStore) lock(ctx context.Context) (unlock func(), err error) {
	s.swaps.Lock()
	f, err := s.locked(ctx, lockName, os.O_RDWR|os.O_CREATE, func() error { return nil })
	if err != nil {
		s.swaps.Unlock()
		return nil, fmt.Errorf("lock the states of uploads: %w", err)
	}
	return func() {
		f.Close()
		s.swaps.Unlock()
	}, nil
}

// locked opens a file and locks it against other processes. It waits for their locks while
// wanted returns nil, and returns errWritten if that takes too long.
func (s *folderStore) locked(ctx context.Context, name string, flag int, wanted func() error) (*os.File, error) {
	patience := time.NewTimer(lockPatience)
	defer patience.Stop()
	for {
		f, err := s.d.root.OpenFile(name, flag, 0o600)
		if err != nil {
			return nil, err
		}
		err = lock.Try(f)
		held := errors.Is(err, lock.ErrHeld)
		if !held && (err != nil || lock.IsNamed(f, func() (fs.FileInfo, error) { return s.d.root.Lstat(name) })) {
			return f, nil
		}
		f.Close() // if it was not held, it has been removed or renamed
		if !held {
			continue
		}
		if err := wanted(); err != nil {
			return nil, err
		}
		select {
		case <-patience.C:
			return nil, errWritten
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPause):
		}
	}
}

// append implements uploadStore.
func (s *folderStore) append(ctx context.Context, id string, epoch int64, lost func()) (uploadContent, error) {
	// While we wait for the lock, a later request can get it, and would not end for us.
	current := func() error {
		state, err := s.readRecord(id)
		if err == nil && state.Epoch != epoch {
			err = errChanged
		}
		return err
	}
	f, err := s.locked(ctx, contentFile(id), os.O_RDWR, current)
	if err != nil {
		return nil, fmt.Errorf("open the content of the upload: %w", err)
	}
	err = current()
	st, serr := f.Stat()
	if err = errors.Join(err, serr); err != nil {
		f.Close()
		return nil, err
	}
	c := &folderContent{s: s, id: id, epoch: epoch, lost: lost, file: f, hold: s.holdOf(id), n: st.Size()}
	c.watch()
	return c, nil
}

// holdOf returns the space reserved for an upload. For one that another process has begun,
// that is as much as its content takes.
func (s *folderStore) holdOf(id string) *quota.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.holds[id]
	if !ok {
		n := int64(0)
		if st, err := s.d.root.Lstat(contentFile(id)); err == nil {
			n = st.Size()
		}
		h = held{s.d.ledger.Adopt(n, n), true}
		s.holds[id] = h
	}
	return h.Hold
}

func (s *folderStore) dropHold(id string) {
	s.mu.Lock()
	h, ok := s.holds[id]
	delete(s.holds, id)
	s.mu.Unlock()
	if ok {
		h.Release()
	}
	arriving.finish(s.d.root, id, errUnfinished)
}

// adopt reserves space for uploads that an earlier process began.
func (s *folderStore) adopt() error {
	files, err := s.files()
	if err != nil {
		return err
	}
	for id := range files {
		if state, _, err := s.read(context.Background(), id); err == nil && state.Phase != uploadDone {
			s.holds[id] = held{s.d.ledger.Adopt(max(state.Size, state.Offset), state.Offset), true}
		}
	}
	return nil
}

// files returns the files of all uploads, by id. Each list has at least one.
func (s *folderStore) files() (map[string][]string, error) {
	entries, err := fs.ReadDir(s.d.root.FS(), names.UploadsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the resumable uploads: %w", err)
	}
	files := make(map[string][]string)
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), ".")
		if isUploadID(id) {
			files[id] = append(files[id], names.UploadsDir+"/"+e.Name())
		}
	}
	return files, nil
}

// remove implements uploadStore.
func (s *folderStore) remove(ctx context.Context, id, version string) error {
	// Without its record the upload is gone, whatever happens to the content.
	if err := s.ifUnchanged(ctx, id, version, func() error { return s.d.root.Remove(recordFile(id)) }); err != nil {
		return err
	}
	s.dropHold(id)
	return s.removeFiles(id)
}

// removeFiles removes the files of an upload, the record first.
func (s *folderStore) removeFiles(id string) error {
	for _, name := range [...]string{recordFile(id), contentFile(id)} {
		if err := s.d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the upload: %w", err)
		}
	}
	return nil
}

// sweep implements uploadStore. It also removes files that a killed process left of an
// upload, and gives up space for uploads that another process has ended.
func (s *folderStore) sweep(ctx context.Context, before time.Time, claim func(id string) (release func(), ok bool)) error {
	ended := s.settled() // before the list, which must not miss the files of a new one
	files, err := s.files()
	if err != nil {
		return err
	}
	for id, list := range files {
		if slices.Contains(list, contentFile(id)) {
			delete(ended, id)
		}
	}
	for id := range ended {
		if release, ok := claim(id); ok {
			s.dropHold(id)
			release()
		}
	}
	err = nil
	for id, list := range files {
		release, ok := claim(id)
		if !ok {
			continue
		}
		err = errors.Join(err, s.expire(id, list, before))
		release()
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	return err
}

// settled returns the uploads whose files exist or have existed, as far as this process
// has reserved space for them.
func (s *folderStore) settled() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make(map[string]bool)
	for id, h := range s.holds {
		if h.stored {
			ids[id] = true
		}
	}
	return ids
}

// expire removes the files of an upload if none of them has changed since before, and no
// other process writes to them.
func (s *folderStore) expire(id string, files []string, before time.Time) error {
	for _, name := range files {
		if st, err := s.d.root.Lstat(name); err == nil && !st.ModTime().Before(before) {
			return nil
		}
	}
	if f, err := s.d.root.OpenFile(contentFile(id), os.O_RDWR, 0); err == nil {
		defer f.Close()
		if errors.Is(lock.Try(f), lock.ErrHeld) {
			return nil
		}
		if runtime.GOOS == "windows" {
			f.Close() // Windows cannot remove an open file
		}
	}
	if err := s.removeFiles(id); err != nil {
		return err
	}
	for _, name := range files {
		if err := s.d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	s.dropHold(id)
	return nil
}

// folderContent is the content of an upload in a folder. The lock of its file keeps other
// processes from appending.
type folderContent struct {
	s     *folderStore
	id    string
	epoch int64
	file  *os.File // nil after finish
	hold  *quota.Hold
	n     int64

	lost  func()
	mu    sync.Mutex // guards timer and over
	timer *time.Timer
	over  bool
	looks sync.WaitGroup // calls of look
}

// watch makes look run from time to time until unwatch is called.
func (c *folderContent) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.looks.Add(1)
	c.timer = time.AfterFunc(epochWatch, c.look)
}

// look calls lost when another process has taken over the upload or removed it.
func (c *folderContent) look() {
	defer c.looks.Done()
	state, err := c.s.readRecord(c.id)
	if errors.Is(err, fs.ErrNotExist) || err == nil && state.Epoch != c.epoch {
		c.lost()
		return
	}
	c.watch()
}

func (c *folderContent) unwatch() {
	c.mu.Lock()
	c.over = true
	if c.timer.Stop() {
		c.looks.Done()
	}
	c.mu.Unlock()
	c.looks.Wait()
}

// Write implements uploadContent.
func (c *folderContent) Write(p []byte) (int, error) {
	if err := c.hold.Need(c.n + int64(len(p))); err != nil {
		return 0, err
	}
	n, err := c.file.WriteAt(p, c.n)
	c.n += int64(n)
	c.hold.Wrote(int64(n))
	return n, err
}

// size implements uploadContent.
func (c *folderContent) size() int64 { return c.n }

// cut implements uploadContent.
func (c *folderContent) cut(n int64) error {
	if err := c.file.Truncate(n); err != nil {
		return fmt.Errorf("remove a refused part of the upload: %w", err)
	}
	c.hold.Wrote(n - c.n)
	c.n = n
	return nil
}

// flush implements uploadContent.
func (c *folderContent) flush() error {
	if !c.s.d.set.sync {
		return nil
	}
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("sync the upload: %w", err)
	}
	return nil
}

// content implements uploadContent.
func (c *folderContent) content() io.Reader { return io.NewSectionReader(c.file, 0, c.n) }

// forKernel returns the file, positioned at the end of the content, and its reservation,
// which already covers n more bytes. The caller must report with moved how many bytes the
// kernel has added.
func (c *folderContent) forKernel(n int64) (*os.File, *quota.Hold, error) {
	if _, err := c.file.Seek(c.n, io.SeekStart); err != nil {
		return nil, nil, fmt.Errorf("continue the upload: %w", err)
	}
	if err := c.hold.Need(c.n + n); err != nil {
		return nil, nil, err
	}
	return c.file, c.hold, nil
}

// follow lets clients follow the upload, which will have this name, until its space is
// given back.
func (c *folderContent) follow(name string, size int64) {
	root, file := c.s.d.root, contentFile(c.id)
	arriving.resume(root, name, c.id, size, func() (*os.File, error) { return root.Open(file) })
}

// unfollow ends all downloads that follow the upload, with an error.
func (c *folderContent) unfollow() { arriving.finish(c.s.d.root, c.id, errUnfinished) }

// moved records that the kernel has added n bytes, which the reservation knows of.
func (c *folderContent) moved(n int64) { c.n += n }

// finish implements uploadContent.
func (c *folderContent) finish(want string, r rule, again bool) (got Received, replaced bool, err error) {
	got.Size = c.n
	d := c.s.d
	if again {
		got.Name = c.placed(want)
	}
	if got.Name == "" {
		if got.Name, replaced, err = c.place(want, r); err != nil {
			return Received{}, false, fmt.Errorf("give the upload its name: %w", err)
		}
	}
	arriving.finish(d.root, c.id, nil)
	c.s.dropHold(c.id)
	if d.set.sync {
		err = d.syncNames(got.Name)
	}
	return got, replaced, err
}

// place gives the file its name. Its lock lasts longer, so that another process that waits
// for it finds the file gone.
func (c *folderContent) place(want string, r rule) (name string, replaced bool, err error) {
	if err := c.flush(); err != nil { // some bytes can be from an earlier request
		return "", false, err
	}
	held, err := lock.Dup(c.file)
	if err == nil {
		defer held.Close()
	} else if !errors.Is(err, errors.ErrUnsupported) {
		return "", false, err
	}
	// Windows cannot rename an open file.
	if err := c.file.Close(); err != nil {
		return "", false, err
	}
	c.file = nil
	err = c.hold.Publish(func() (int64, error) {
		var was int64
		var err error
		name, was, err = c.s.d.place(contentFile(c.id), want, r)
		replaced = was >= 0
		return c.n - max(was, 0), err
	})
	return name, replaced, err
}

// placed returns the final name if an earlier process gave it to the file and then stopped,
// and removes the temporary one. Otherwise it returns "".
func (c *folderContent) placed(want string) string {
	root := c.s.d.root
	mine, err := c.file.Stat()
	if err != nil {
		return ""
	}
	for n := 1; n <= names.MostNumbered; n++ {
		name := names.Numbered(want, n)
		other, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		if err == nil && os.SameFile(mine, other) {
			if root.Remove(contentFile(c.id)) != nil {
				return ""
			}
			return name
		}
	}
	return ""
}

// close implements uploadContent.
func (c *folderContent) close() error {
	c.unwatch()
	if c.file == nil {
		return nil
	}
	if err := c.file.Close(); err != nil {
		return fmt.Errorf("close the content of the upload: %w", err)
	}
	return nil
}
