package weirhttp

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// lot is where parked downloads wait for their clients. One goroutine waits for all of
// them, and starts another one for each client that can receive more. A client that
// receives nothing costs no goroutine and no stack.
type lot struct {
	epoll *os.File // registered with the runtime poller, so that no thread waits; nil: not usable
	raw   syscall.RawConn
	work  *sync.WaitGroup

	mu      sync.Mutex // guards the fields below; held while a descriptor is armed
	last    uint64
	waiting map[uint64]sleeper // by conn.place, since descriptors are reused too soon
}

// open makes the lot usable. It counts the goroutines that it starts in work.
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
	l.epoll, l.raw, l.work, l.waiting = f, raw, work, make(map[uint64]sleeper)
	work.Go(l.run)
}

// close ends the goroutine of the lot. Nothing must be waiting any more.
func (l *lot) close() {
	if l.epoll != nil {
		l.epoll.Close()
	}
}

func (l *lot) usable() bool { return l.epoll != nil }

// wait makes p wait for its client. If it returns nil, the lot owns p and has perhaps
// woken it already.
func (l *lot) wait(p sleeper) error {
	c := p.conn()
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

// takeLocked removes the sleeper at a place and returns it, nil if there is none.
func (l *lot) takeLocked(place uint64) sleeper {
	p := l.waiting[place]
	if p != nil {
		delete(l.waiting, place)
		p.conn().writing.Add(-1)
	}
	return p
}

// leave wakes the sleeper of a connection that has been closed.
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

// run wakes sleepers whose clients can receive more, until the lot is closed.
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
