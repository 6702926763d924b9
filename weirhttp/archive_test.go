package weirhttp

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The functions here return the files of an archive by name, and nothing of one
// that is broken.

func untar(b []byte) map[string]string { return tarFrom(bytes.NewReader(b)) }

func tarFrom(r io.Reader) map[string]string {
	files := map[string]string{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			return nil
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			return nil
		}
		files[h.Name] = string(b)
	}
}

func ungzip(b []byte) map[string]string {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	return tarFrom(z)
}

func unzstd(b []byte) map[string]string {
	z, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	defer z.Close()
	return tarFrom(z)
}

func unzip(b []byte) map[string]string {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil
		}
		files[f.Name] = string(body)
	}
	return files
}
