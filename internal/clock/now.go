package clock

import "time"

// epoch is the time that readings count from. Only differences between readings
// are used.
var epoch = time.Now()

// Now reads the monotonic clock, in nanoseconds. It is read when a batch moves
// from stage to stage or a goroutine parks, never for an item.
func Now() int64 { return int64(time.Since(epoch)) }
