//go:build !unix

package main

import "errors"

// socketFolders returns none: without permissions as Unix has them, a socket in a
// folder that others can reach could be anybody's.
func socketFolders() []string { return nil }

func socketFolder() string { return "" }

func private(string) error { return errors.ErrUnsupported }

func alive(int) bool { return true }

func refused(error) bool { return false }
