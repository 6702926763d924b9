//go:build !unix

package main

import "os"

func foreground(*os.File) bool { return true }
