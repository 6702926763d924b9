package kernelcopy

import "time"

// An Observer follows how [Copy] spends its time. Its methods are called by the
// goroutine that called Copy and must return at once.
type Observer interface {
	// Enter begins another activity. It is called again for the same one.
	Enter(Activity)

	// Settle adds details about the [Moving] that is running or has just ended. It
	// is called at most once for each.
	Settle(Spent)

	// Path is called with the name of the system call that has moved bytes, and
	// with "" when Copy continues through memory.
	Path(name string)
}

// Activity says what Copy spends its time on.
type Activity int

const (
	Reading Activity = iota // it waits for the source, or reads from it
	Writing                 // it waits for the destination, or writes to it
	Moving                  // the kernel reads and writes in one call
)

// Spent says where the time of a call went that both reads and writes. The rest
// of the time is not known.
type Spent struct {
	Copy        time.Duration // the kernel was busy
	Read, Write time.Duration // it waited for the source, for the destination

	// Estimates, from samples that were moved through memory, of the rest of
	// the time.
	MaybeRead, MaybeWrite time.Duration
}

// nobody is the Observer of a Copy that has none.
type nobody struct{}

func (nobody) Enter(Activity) {}
func (nobody) Settle(Spent)   {}
func (nobody) Path(string)    {}

// samples compares the two ends of a copy that the kernel makes in one call, by
// pieces that were read and written one after the other.
type samples struct {
	read, write time.Duration // for which the thread slept
	bytes       int64         // of the samples
	run         int64         // bytes of the samples since the kernel moved any
	moved       int64         // bytes that the kernel moved since the last sample
	took, slept time.Duration // in the kernel's last calls; older ones count less
}

const (
	sampleSize  = 64 << 10 // moved through memory
	sampleEvery = 32 << 20 // bytes that the kernel moves between two samples
	sampleSleep = 50 * time.Microsecond

	// Where the kernel sleeps most of the time, the processor has time to
	// spare: samples of most of all bytes cost nothing. They are longer than
	// the kernel's readahead, so they meet the pauses of a disk.
	waitSize  = 16 << 20
	waitEvery = 4 << 20
)

// due returns how much of a piece of max bytes is to be a sample, 0 if nothing.
func (s *samples) due(max int64) int64 {
	switch {
	case s.slept > s.took/2 && s.run < waitSize && (s.moved == 0 || s.moved >= waitEvery):
		return min(waitSize-s.run, max)
	case max >= 2*sampleSize && (s.bytes == 0 || s.moved >= sampleEvery):
		return sampleSize
	}
	return 0
}

// call records how long the kernel took to move bytes, and how much of that it
// slept.
func (s *samples) call(took, slept time.Duration) {
	s.took, s.slept = s.took*7/8+took, s.slept*7/8+slept
}

// divide estimates for which end the kernel waited, wait in all, when it moved n
// bytes. The samples say how long each end takes for as many bytes; time that
// they do not explain is nobody's.
func (s *samples) divide(wait time.Duration, n int64) (read, write time.Duration) {
	if s.bytes == 0 || s.read+s.write < sampleSleep {
		return 0, 0
	}
	scale := float64(n) / float64(s.bytes)
	r, w := float64(s.read)*scale, float64(s.write)*scale
	// A sample that meets a pause of the disk counts for more bytes than it has,
	// so the two can exceed the whole time. Their proportion still holds.
	if sum := r + w; sum > float64(wait) {
		r, w = r/sum*float64(wait), w/sum*float64(wait)
	}
	return time.Duration(r), time.Duration(w)
}
