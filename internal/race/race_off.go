//go:build !race

// Package race tells tests whether the race detector watches them. It makes
// everything take several times as long, so tests that only compute, in one
// goroutine, leave out their largest inputs.
package race

// Enabled reports whether the program was built with -race.
const Enabled = false
