// Package archive writes folders as tar and zip files.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
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

// Stored is the format of zip files whose files are not compressed, so that
// a [Sizer] knows the size of the zip file.
var Stored = Format{"application/zip", "", newStored}

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

// storedZip writes zip files without compression. Their headers do not depend on the
// content of files.
type storedZip struct {
	*zip.Writer
	more  func() error
	files int
}

func newStored(w io.Writer, more func() error) Writer {
	return &storedZip{Writer: zip.NewWriter(w), more: more}
}

func (z *storedZip) Folder(name string, info fs.FileInfo) error {
	_, _, err := z.create(name+"/", info.Mode(), 0, info.ModTime())
	return err
}

func (z *storedZip) File(name string, info fs.FileInfo) (io.Writer, error) {
	w, h, err := z.create(name, info.Mode(), info.Size(), info.ModTime())
	return summed{w, h}, err
}

func (z *storedZip) create(name string, mode fs.FileMode, size int64, modified time.Time) (io.Writer, *zip.FileHeader, error) {
	if z.files++; z.files%ZipBatch == 0 && z.more != nil {
		if err := z.more(); err != nil {
			return nil, nil, err
		}
	}
	h := &zip.FileHeader{
		Name: name, Method: zip.Store, UncompressedSize64: uint64(size), CompressedSize64: uint64(size),
		CreatorVersion: 3<<8 | 20, ReaderVersion: 20, // of Unix, for the mode
	}
	h.SetMode(mode)
	if utf8.ValidString(name) {
		h.Flags |= 0x800
	}
	if !mode.IsDir() {
		h.Flags |= 0x8 // the sum comes behind the content
		if size >= math.MaxUint32 {
			h.ReaderVersion = 45
		}
	}
	// The time in seconds, which is what unzip uses, and in the form of MS-DOS.
	h.Extra = binary.LittleEndian.AppendUint32([]byte{'U', 'T', 5, 0, 1}, uint32(modified.Unix()))
	utc := modified.UTC()
	if utc.Year() >= 1980 && utc.Year() <= 2107 {
		h.ModifiedDate = uint16(utc.Day() + int(utc.Month())<<5 + (utc.Year()-1980)<<9)
		h.ModifiedTime = uint16(utc.Second()/2 + utc.Minute()<<5 + utc.Hour()<<11)
	}
	w, err := z.CreateRaw(h)
	return w, h, err
}

// summed is a file in a zip file. It keeps the sum in the header of the file, which is
// written in full behind it and at the end of the zip file.
type summed struct {
	io.Writer
	h *zip.FileHeader
}

func (s summed) Write(b []byte) (int, error) {
	n, err := s.Writer.Write(b)
	s.h.CRC32 = crc32.Update(s.h.CRC32, crc32.IEEETable, b[:n])
	return n, err
}

// Sizer adds up the size of a zip file of the format Stored.
type Sizer struct {
	z *storedZip
	n countingWriter
}

// NewSizer returns a Sizer of an empty zip file.
func NewSizer() *Sizer {
	s := new(Sizer)
	s.z = &storedZip{Writer: zip.NewWriter(&s.n)}
	return s
}

// Add adds a file, or a folder if mode says so.
func (s *Sizer) Add(name string, mode fs.FileMode, size int64, modified time.Time) error {
	if mode.IsDir() {
		name, size = name+"/", 0
	}
	w, _, err := s.z.create(name, mode, size, modified)
	for err == nil && size > 0 {
		n := min(size, int64(len(zeros)))
		_, err = w.Write(zeros[:n])
		size -= n
	}
	return err
}

// Size ends the zip file and returns its size in bytes.
func (s *Sizer) Size() (int64, error) {
	err := s.z.Close()
	return int64(s.n), err
}

// zeros stand for the content of files.
var zeros [1 << 20]byte

type countingWriter int64

func (c *countingWriter) Write(b []byte) (int, error) {
	*c += countingWriter(len(b))
	return len(b), nil
}
