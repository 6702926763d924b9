//go:build !(linux && (amd64 || arm64))

package weir

import "os"

// dropCache has no portable form.
func dropCache(*os.File) {}
