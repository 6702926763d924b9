//go:build !linux

package main

// keys reads single keys from the terminal, where weir who works.
type keys struct{}

func readKeys(func()) *keys { return &keys{} }

func (*keys) end() {}
