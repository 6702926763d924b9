package weir_test

import (
	"errors"

	"github.com/weir-go/weir"
)

// What follows is used under one name by several tests.

var errStop = weir.ErrStop

func errStopAnd(err error) error { return errors.Join(weir.ErrStop, err) }

// stopFlow ends the input of a flow, if it knows how to.
func stopFlow(f *weir.Flow) bool {
	s, ok := any(f).(interface{ Stop() })
	if ok {
		s.Stop()
	}
	return ok
}

func canStop() bool {
	_, ok := any(&weir.Flow{}).(interface{ Stop() })
	return ok
}

// isDeadlock reports whether a flow ended because all of it waited for itself.
func isDeadlock(err error) bool {
	return err != nil && contains(err.Error(), "deadlock")
}

// ceilingOf returns what Flow.Ceiling says: bytes, how many holders may have one
// value more, and the stages it does not cover.
func ceilingOf(f *weir.Flow) (bytes int64, holders int, uncovered []string, err error) {
	c, err := f.Ceiling()
	return c.Bytes, c.Holders, c.Uncovered, err
}
