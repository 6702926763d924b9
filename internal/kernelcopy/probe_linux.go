package kernelcopy

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// probe measures how much a system call costs its thread. The caller must call
// end on the same goroutine: probe locks the goroutine to its thread until then.
type probe struct {
	start  time.Time
	cpu    time.Duration
	sleeps int64
}

const (
	clockThread  = 3 // CLOCK_THREAD_CPUTIME_ID
	rusageThread = 1 // RUSAGE_THREAD
)

func startProbe() probe {
	runtime.LockOSThread()
	return probe{cpu: threadTime(), sleeps: threadSleeps(), start: time.Now()}
}

// end returns how long the call took and how much of it the thread slept. A
// thread that was only kept off its core by others has not slept.
func (p probe) end() (took, slept time.Duration) {
	took = time.Since(p.start)
	if threadSleeps() != p.sleeps {
		slept = max(0, took-(threadTime()-p.cpu))
	}
	runtime.UnlockOSThread()
	return took, slept
}

// threadTime returns the processor time of the thread. getrusage brings it up to
// date only at a tick of the scheduler.
func threadTime() time.Duration {
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThread, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}

// threadSleeps returns how often the thread has gone to sleep by itself.
func threadSleeps() int64 {
	var ru syscall.Rusage
	if syscall.Getrusage(rusageThread, &ru) != nil {
		return -1
	}
	return int64(ru.Nvcsw)
}
