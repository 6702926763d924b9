// Package grow makes room in buffers that may hold a certain maximum, and takes
// less memory while it copies than append does.
package grow

// For returns s with room for at least need values, and for at most most of
// them, unless need is more. While it copies, the old memory and the new have
// room for no more than 1.5 × most values together: append would take up to 2.25
// times as much as it is asked for.
func For[T any](s []T, need, most int) []T {
	if need <= cap(s) {
		return s
	}
	n := max(2*cap(s), need, 64)
	if n > most/2 {
		n = max(most, need)
	}
	return append(make([]T, 0, n), s...)
}

// Append appends p to a buffer that grows to at most most bytes.
func Append(buf, p []byte, most int) []byte {
	return append(For(buf, len(buf)+len(p), most), p...)
}

// Countable returns n, or the largest number that can still be multiplied by a
// small factor and added up: for limits that mean "no limit".
func Countable(n int64) int64 { return min(n, 1<<56) }
