// Package units writes numbers of bytes and of things as people read them.
package units

import "fmt"

// Bytes returns n bytes, rounded: "512 B", "64 KiB", "1.2 GiB".
func Bytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-n)
	}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), -1
	for f >= 1023.95 && unit < 4 {
		f /= 1024
		unit++
	}
	s := fmt.Sprintf("%.1f", f)
	if s[len(s)-2:] == ".0" {
		s = s[:len(s)-2]
	}
	return s + " " + string("KMGTP"[unit]) + "iB"
}

// Exact returns n bytes without rounding, as a limit is written: "1 MiB",
// "1500 KiB", "1001 B".
func Exact(n int64) string {
	unit := 0
	for ; n >= 1<<10 && n%(1<<10) == 0 && unit < 4; unit++ {
		n >>= 10
	}
	return fmt.Sprintf("%d %s", n, [...]string{"B", "KiB", "MiB", "GiB", "TiB"}[unit])
}

// Count returns n of what, in English: "1 attempt", "2 attempts".
func Count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
