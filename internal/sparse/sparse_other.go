//go:build !unix

package sparse

import "io/fs"

func isSparse(fs.FileInfo) bool { return false }
