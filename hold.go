package weir

import "fmt"

// defaultRecord is the size of the largest record that a decoder accepts unless
// it is told otherwise.
const defaultRecord = 1 << 20

// grow returns s with room for at least need values, and for at most most of
// them, unless need is more. While it copies, the old memory and the new
// have room for no more than 1.5 × most values together: append would take up
// to 2.25 times as much as it is asked for.
func grow[T any](s []T, need, most int) []T {
	if need <= cap(s) {
		return s
	}
	n := max(2*cap(s), need, 64)
	if n > most/2 {
		n = max(most, need)
	}
	return append(make([]T, 0, n), s...)
}

// hold appends p to a buffer that grows to at most most bytes.
func hold(buf, p []byte, most int) []byte {
	return append(grow(buf, len(buf)+len(p), most), p...)
}

// exactBytes formats a limit without rounding: "1 MiB", "1500 KiB", "1001 B".
func exactBytes(n int64) string {
	unit := 0
	for ; n >= 1<<10 && n%(1<<10) == 0 && unit < 4; unit++ {
		n >>= 10
	}
	return fmt.Sprintf("%d %s", n, [...]string{"B", "KiB", "MiB", "GiB", "TiB"}[unit])
}

// numberOf is n of something, in English: 1 attempt, 2 attempts.
func numberOf(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// countable returns n, or for a limit that is none a number that can still be
// multiplied and added up.
func countable(n int64) int64 { return min(n, 1<<56) }
