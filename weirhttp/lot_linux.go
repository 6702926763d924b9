package weirhttp

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// lot is where parked downloads wait for their clients. One goroutine waits for
// all of them, and starts one for a client that can take more; so a client that
// takes nothing costs no goroutine and no stack.
type lot struct {
	epoll *os.File // pollable itself, so that no thread waits; nil: not usable
	raw   syscall.RawConn
	work  *sync.WaitGroup

	mu      sync.Mutex // guards what follows; held while a descriptor is armed
	last    uint64
	waiting map[uint64]*parked // by conn.place: descriptors are used again too soon
}

// open makes the lot usable. The goroutines it starts are counted in work.
func (l *lot) open(work *sync.WaitGroup) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return
	}
	f := os.NewFile(uintptr(fd), "epoll")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return
	}
	l.epoll, l.raw, l.work, l.waiting = f, raw, work, make(map[uint64]*parked)
	work.Go(l.run)
}

// close ends the goroutine of the lot, in which nothing may be left.
func (l *lot) close() {
	if l.epoll != nil {
		l.epoll.Close()
	}
}

func (l *lot) usable() bool { return l.epoll != nil }

// wait lets p wait for its client. If it returns nil p belongs to whoever wakes
// it, which may have happened already.
func (l *lot) wait(p *parked) error {
	c := p.c
	l.mu.Lock()
	defer l.mu.Unlock()
	op := unix.EPOLL_CTL_MOD
	if c.place == 0 {
		l.last++
		c.place, op = l.last, unix.EPOLL_CTL_ADD
	}
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(c.place), Pad: int32(c.place >> 32)}
	var cerr, aerr error
	err := l.raw.Control(func(ep uintptr) {
		cerr = c.raw.Control(func(fd uintptr) {
			l.waiting[c.place] = p
			c.writing.Add(1)
			if e := unix.EpollCtl(int(ep), op, int(fd), &ev); e != nil {
				l.takeLocked(c.place)
				aerr = os.NewSyscallError("epoll_ctl", e)
			}
		})
	})
	return errors.Join(err, cerr, aerr)
}

// takeLocked returns what waits at a place, which is free then.
func (l *lot) takeLocked(place uint64) *parked {
	p := l.waiting[place]
	if p != nil {
		delete(l.waiting, place)
		p.c.writing.Add(-1)
	}
	return p
}

// leave wakes what waits on a connection that has been closed.
func (l *lot) leave(c *conn) {
	if l.epoll == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place == 0 {
		return
	}
	if p := l.takeLocked(c.place); p != nil {
		l.work.Go(p.run)
	}
}

// run wakes those whose clients can take more, until the lot is closed.
func (l *lot) run() {
	events := make([]unix.EpollEvent, 256)
	for {
		n := 0
		err := l.raw.Read(func(ep uintptr) bool {
			var e error
			n, e = unix.EpollWait(int(ep), events, 0)
			return n > 0 || e != nil && e != unix.EINTR
		})
		if err != nil {
			return
		}
		l.mu.Lock()
		for _, ev := range events[:max(n, 0)] {
			if p := l.takeLocked(uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32); p != nil {
				l.work.Go(p.run)
			}
		}
		l.mu.Unlock()
	}
}
