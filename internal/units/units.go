// Package units writes numbers of bytes and of things as people read them, and
// reads numbers of bytes.
package units

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ParseBytes reads a number of bytes as it stands in a URL: "1024", "64KiB",
// "1GiB". It is at most 1<<62.
func ParseBytes(s string) (int64, error) {
	number, unit := s, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			number, unit = n, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, errors.New("invalid size")
	}
	return n * unit, nil
}

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
