// Package xattr copies the extended attributes that belong to users.
//
// It does not copy attributes of the system. The system itself sets the
// attributes of security modules, and a file capability (security.capability)
// grants rights that a copy must not have.
package xattr

import "os"

// Attr is one extended attribute.
type Attr struct {
	Name  string
	Value []byte
}

// Read returns the attributes of f whose names begin with "user.", and none
// where the system or the file system has no such attributes.
func Read(f *os.File) ([]Attr, error) { return read(f) }

// Write sets attributes of f. Where they are not supported or not allowed it
// does nothing.
func Write(f *os.File, attrs []Attr) error { return write(f, attrs) }
