package units

import (
	"math"
	"testing"
)

func TestBytes_RoundsToOneDigit(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 20: "1 MiB", 1<<20 - 1: "1 MiB",
		-2048: "-2 KiB", math.MaxInt64: "8192 PiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) is %q, want %q", n, got, want)
		}
	}
}

func TestExact_NeverRounds(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1001: "1001 B", 1 << 20: "1 MiB", 1500 << 10: "1500 KiB", 1<<40 + 1: "1099511627777 B"} {
		if got := Exact(n); got != want {
			t.Errorf("Exact(%d) is %q, want %q", n, got, want)
		}
	}
}

func TestCount_AddsAnSExceptForOne(t *testing.T) {
	for n, want := range map[int64]string{0: "0 attempts", 1: "1 attempt", 2: "2 attempts"} {
		if got := Count(n, "attempt"); got != want {
			t.Errorf("Count(%d) is %q, want %q", n, got, want)
		}
	}
}

func TestParseBytes_ReadsBinaryUnitsOnly(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "17": 17, "64KiB": 64 << 10, "3MiB": 3 << 20, "1GiB": 1 << 30, "2TiB": 2 << 40} {
		if got, err := ParseBytes(s); got != want || err != nil {
			t.Errorf("ParseBytes(%q) is %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1", "1.5GiB", "GiB", "1kB", "9999999999TiB", "1 GiB"} {
		if got, err := ParseBytes(s); err == nil {
			t.Errorf("ParseBytes(%q) is %d", s, got)
		}
	}
}
