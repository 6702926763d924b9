package weir

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Timeout ends the flow with [ErrStalled] if no value arrives for d. The time for
// which downstream does not take earlier values does not count.
func Timeout[T any](s Stream[T], d time.Duration) Stream[T] {
	st := Stage[T, T]{Name: "timeout", Holds: int64(chunkLen[T]()) * slotSize[T](), Holders: -1}
	if d <= 0 {
		st.Err = errors.New("duration is not positive")
	}
	st.Run = func(_ context.Context, in Reader[T], out Writer[T]) error {
		r := in.(*laneReader[T])
		buf := make([]T, chunkLen[T]())
		timer := time.NewTimer(d)
		defer timer.Stop()
		for {
			timer.Reset(d)
			n, err := r.readUntil(buf, timer.C)
			switch {
			case err != nil:
				return nil // the end; a failure is kept by the reader
			case n == 0:
				return fmt.Errorf("%w for %v", ErrStalled, d)
			}
			if _, err := out.Write(buf[:n]); err != nil {
				return err
			}
			clear(buf[:n])
		}
	}
	return Via(s, st)
}
