// Package archive writes folders as tar and zip files.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"time"
	"unicode/utf8"
)

// Writer writes an archive.
type Writer interface {
	// Folder adds a folder.
	Folder(name string, info fs.FileInfo) error
	// File begins a file. The caller must write as many bytes as info.Size says to
	// the returned writer.
	File(name string, info fs.FileInfo) (io.Writer, error)
	// Close ends the archive. It does not close the underlying writer.
	Close() error
}

// Format is a format of archives.
type Format struct {
	Type   string // media type
	Coding string // the coding that compresses the whole archive; "": none
	// New returns an archive that is written to w. The archive calls more each time
	// it is about to keep another ZipMemory bytes until its end. An error of more
	// ends the archive.
	New func(w io.Writer, more func() error) Writer
}

// Formats are the formats by the file extension of the archive.
var Formats = map[string]Format{
	"tar":     {"application/x-tar", "", newTar},
	"tar.gz":  {"application/gzip", "gzip", newTar},
	"tar.zst": {"application/zstd", "zstd", newTar},
	"zip":     {"application/zip", "", newZip},
}

// ZipMemory is how much memory a zip archive keeps until its end for each ZipBatch
// files, in bytes.
const (
	ZipMemory = 512 << 10
	ZipBatch  = 1000
)

type tarArchive struct{ *tar.Writer }

func newTar(w io.Writer, _ func() error) Writer { return tarArchive{tar.NewWriter(w)} }

func (t tarArchive) Folder(name string, info fs.FileInfo) error {
	return t.WriteHeader(tarHeader(name, info.Mode(), 0, info.ModTime()))
}

func (t tarArchive) File(name string, info fs.FileInfo) (io.Writer, error) {
	return t, t.WriteHeader(tarHeader(name, info.Mode(), info.Size(), info.ModTime()))
}

// TarBlock is the unit of a tar file: the header and the bytes of each file begin at a
// multiple of it. TarEnd bytes of zeros end a tar file.
const (
	TarBlock = 512
	TarEnd   = 2 * TarBlock
)

// AppendTarHeader appends the header of a file or folder in a tar file to b.
func AppendTarHeader(b []byte, name string, mode fs.FileMode, size int64, modified time.Time) ([]byte, error) {
	w := bytes.NewBuffer(b)
	err := tar.NewWriter(w).WriteHeader(tarHeader(name, mode, size, modified))
	return w.Bytes(), err
}

func tarHeader(name string, mode fs.FileMode, size int64, modified time.Time) *tar.Header {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode.Perm()), Size: size, ModTime: modified.Truncate(time.Second)}
	if mode.IsDir() {
		h.Typeflag, h.Name, h.Size = tar.TypeDir, name+"/", 0
	}
	if !utf8.ValidString(name) {
		h.Format = tar.FormatGNU // PAX has names in UTF-8 only
	}
	return h
}

type zipArchive struct {
	*zip.Writer
	more  func() error // asks for memory
	files int
}

func newZip(w io.Writer, more func() error) Writer {
	return &zipArchive{Writer: zip.NewWriter(w), more: more}
}

func (z *zipArchive) Folder(name string, info fs.FileInfo) error {
	_, err := z.create(name+"/", info, zip.Store)
	return err
}

func (z *zipArchive) File(name string, info fs.FileInfo) (io.Writer, error) {
	return z.create(name, info, zip.Deflate)
}

func (z *zipArchive) create(name string, info fs.FileInfo, method uint16) (io.Writer, error) {
	if z.files++; z.files%ZipBatch == 0 {
		if err := z.more(); err != nil {
			return nil, err
		}
	}
	h := &zip.FileHeader{Name: name, Modified: info.ModTime(), Method: method}
	h.SetMode(info.Mode())
	return z.CreateHeader(h)
}
