//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly

package main

// keys reads no keys on this system: Ctrl-C ends a live view.
type keys struct{}

func readKeys(func(key string)) *keys { return &keys{} }

func (*keys) end() {}
