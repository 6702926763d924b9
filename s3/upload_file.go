package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// fileUpload uploads a file. Its parts are read from the file again where that is
// needed, so they take no memory.
type fileUpload struct {
	c         *client
	key       string
	exclusive bool
	content   io.ReaderAt
	size      int64
	part      int64
	atOnce    int           // parts that are sent at a time
	count     func(n int64) // called for bytes that are sent; n is negative if they have to be sent again
	whole     *uint64       // checksum that the file must have, or nil

	sent atomic.Int64
}

// uploadAttempts is how often a conditional upload is begun. The store drops an upload
// that met another writer of the same key.
const uploadAttempts = 3

// run returns when the store has the object, or nothing of it.
func (f *fileUpload) run(ctx context.Context) error {
	for n := 1; ; n++ {
		err := f.try(ctx)
		if !isConflict(err) || n == uploadAttempts || f.size <= f.part { // put has repeated its request already
			return err
		}
		f.add(-f.sent.Load())
	}
}

func (f *fileUpload) add(n int64) {
	f.sent.Add(n)
	f.count(n)
}

// check returns an error if the file is not the one to be sent.
func (f *fileUpload) check(sum uint64) error {
	if f.whole != nil && *f.whole != sum {
		return errChanged
	}
	return nil
}

func (f *fileUpload) try(ctx context.Context) error {
	w := newWriting(ctx, f.c, f.key, f.exclusive)
	defer func() { w.stop(errClosed); w.partStop() }()
	if f.size > f.part {
		return f.sendParts(w)
	}
	sum, err := f.sum(0, f.size)
	if err == nil {
		err = f.check(sum.crc)
	}
	if err != nil {
		return err
	}
	return w.put(f.section(0, f.size), f.size, sum, func() string { return md5Base64(io.NewSectionReader(f.content, 0, f.size)) })
}

// sendParts sends the file as parts, several at a time.
func (f *fileUpload) sendParts(w *writing) (err error) {
	if err := w.begin(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.abort())
		}
	}()
	var wg sync.WaitGroup
	defer wg.Wait() // before the upload is aborted
	slots := make(chan struct{}, f.atOnce)
	number := 0
	for at := int64(0); at < f.size; at += f.part {
		select {
		case slots <- struct{}{}:
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
		number++
		p := sentPart{number: number, size: min(f.part, f.size-at)}
		wg.Go(func() {
			defer func() { <-slots }()
			var err error
			if p.sums, err = f.sum(at, p.size); err == nil {
				_, err = w.sendPart(w.ctx, &p, f.section(at, p.size), func() string { return md5Base64(io.NewSectionReader(f.content, at, p.size)) })
			}
			if err != nil {
				w.stop(err)
				return
			}
			w.sent(p)
		})
	}
	wg.Wait()
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	sum := w.merged()
	if err := f.check(sum); err != nil {
		return err
	}
	return w.complete(sum, f.size)
}

// sum returns the sums of a part of the file.
func (f *fileUpload) sum(at, n int64) (sums, error) {
	d := newDigest(f.c)
	read, err := io.Copy(d, io.NewSectionReader(f.content, at, n))
	if err == nil && read != n {
		err = fmt.Errorf("%w: it has only %d bytes", errChanged, at+read)
	}
	return d.sums(), err
}

// section returns a part of the file that counts the bytes read. If the part is read
// again, it subtracts them first.
func (f *fileUpload) section(at, n int64) io.ReadSeeker {
	return &countedSection{SectionReader: io.NewSectionReader(f.content, at, n), count: f.add}
}

type countedSection struct {
	*io.SectionReader
	count func(int64)
	n     int64
}

func (s *countedSection) Read(p []byte) (int, error) {
	n, err := s.SectionReader.Read(p)
	s.n += int64(n)
	s.count(int64(n))
	if err != nil && err != io.EOF {
		err = final{err} // sending it again would not help
	}
	return n, err
}

func (s *countedSection) Seek(offset int64, whence int) (int64, error) {
	s.count(-s.n)
	s.n = 0
	return s.SectionReader.Seek(offset, whence)
}
