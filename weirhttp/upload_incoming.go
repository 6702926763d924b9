package weirhttp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/weir-go/weir/internal/lock"
)

// incoming is a file on its way into the folder. It must be aborted, which does
// nothing after it was published.
type incoming struct {
	d    *folder
	file *os.File // nil after finish
	temp string   // "" after publish and abort
	held *os.File // keeps temp locked after finish; nil: it is not
	hold *hold
	size int64 // bytes written

	early earlyFlush
}

// receive begins a file of n bytes, of which more may come.
func (d *folder) receive(n int64) (*incoming, error) {
	h, err := d.ledger.take(n)
	if err != nil {
		return nil, err
	}
	f, temp, err := d.createTemp()
	if err != nil {
		h.release()
		return nil, err
	}
	return &incoming{d: d, file: f, temp: temp, hold: h, early: newEarlyFlush(d.u.Sync, 0)}, nil
}

// Write appends p to the file.
func (in *incoming) Write(p []byte) (int, error) {
	if err := in.hold.need(in.size + int64(len(p))); err != nil {
		return 0, err
	}
	n, err := in.file.Write(p)
	in.size += int64(n)
	in.hold.wrote(int64(n))
	in.early.wrote(in.file, int64(n))
	return n, err
}

// finish closes the file, which has no name yet.
func (in *incoming) finish() error {
	if in.file == nil {
		return nil
	}
	var err error
	if in.d.u.Sync {
		err = in.file.Sync()
	}
	held, derr := lock.Dup(in.file)
	if derr == nil {
		in.held = held
	} else if !errors.Is(derr, errors.ErrUnsupported) {
		err = errors.Join(err, derr)
	}
	err = errors.Join(err, in.file.Close())
	in.file = nil
	if err != nil {
		return fmt.Errorf("finish the upload: %w", err)
	}
	return nil
}

// publish gives the file its name. A file that has its name is kept also when
// the name could not be brought to stable storage.
func (in *incoming) publish(want string, r rule) (got Received, replaced bool, err error) {
	if err := in.finish(); err != nil {
		return Received{}, false, err
	}
	got.Size = in.size
	err = in.hold.publish(func() (int64, error) {
		name, was, err := in.d.place(in.temp, want, r)
		if err != nil {
			return 0, fmt.Errorf("give the upload its name: %w", err)
		}
		got.Name, replaced = name, was >= 0
		return in.size - max(was, 0), nil
	})
	if err != nil {
		return Received{}, false, err
	}
	in.unlock()
	if in.d.u.Sync {
		err = in.d.syncNames()
	}
	return got, replaced, err
}

// abort removes what is there of the file.
func (in *incoming) abort() {
	if in.temp == "" {
		return
	}
	if in.file != nil {
		in.file.Close()
		in.file = nil
	}
	if err := in.d.root.Remove(in.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		in.d.u.log().Error("a broken upload could not be removed", "file", in.temp, "error", err)
	}
	in.unlock()
	in.hold.release()
}

// unlock is called when there is no file of that name any more.
func (in *incoming) unlock() {
	if in.held != nil {
		in.held.Close()
		in.held = nil
	}
	in.d.forget(in.temp)
	in.temp = ""
}
