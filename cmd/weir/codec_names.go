package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/weir-go/weir/internal/units"
)

// suffix is the end of the name of a compressed file, and its replacement in
// the name of the decompressed file.
type suffix struct{ packed, plain string }

var (
	// gzipSuffixes are the suffixes that GNU gzip knows.
	gzipSuffixes = []suffix{{".gz", ""}, {".tgz", ".tar"}, {".taz", ".tar"}, {"-gz", ""}, {".z", ""}, {"-z", ""}, {"_z", ""}}
	zstdSuffixes = []suffix{{".zst", ""}, {".tzst", ".tar"}}
)

// longestSuffix is the limit of GNU gzip.
const longestSuffix = 30

// checkSuffix returns an error if --suffix is invalid.
func (r *codecRun) checkSuffix() error {
	if !r.suffixGiven() {
		return nil
	}
	s := r.ownSuffix
	if s == "" || len(s) > longestSuffix || strings.ContainsAny(s, `/`+string(filepath.Separator)) {
		return invalid("suffix", s, "suffix", fmt.Sprintf("use 1 to %s without a slash", units.Count(longestSuffix, "character")), r.suffixes[0].packed)
	}
	return nil
}

// known returns the suffixes of compressed files, beginning with the suffix of
// --suffix.
func (r *codecRun) known() []suffix {
	if r.ownSuffix == "" {
		return r.suffixes
	}
	return append([]suffix{{r.ownSuffix, ""}}, r.suffixes...)
}

// cutSuffix splits the name of a compressed file. Case makes no difference, and
// a name that is nothing but a suffix has none.
func (r *codecRun) cutSuffix(name string) (base string, s suffix, ok bool) {
	for _, s := range r.known() {
		n := len(name) - len(s.packed)
		if n > 0 && strings.EqualFold(name[n:], s.packed) && !strings.HasSuffix(name[:n], "/") && name[n-1] != filepath.Separator {
			return name[:n], s, true
		}
	}
	return "", suffix{}, false
}

// target returns the name of the result.
func (r *codecRun) target(name string) (string, *failure) {
	base, s, ok := r.cutSuffix(name)
	switch {
	case r.expands && ok:
		return base + s.plain, nil
	case r.expands:
		f := skipped(fmt.Sprintf("weir pipe %s %s DST", quoted(name), r.stage), "%s does not end in %s, so there is no name for the result", name, r.known()[0].packed)
		if ext := filepath.Ext(name); r.gzip && len(ext) > 1 && ext != name && len(ext) <= longestSuffix {
			f.try = "--suffix " + quoted(ext) + ", or " + f.try
		}
		return "", f
	case ok && !r.force:
		return "", skipped("--force, to compress it once more", "%s has the suffix %s already", name, name[len(base):])
	case r.ownSuffix != "":
		return name + r.ownSuffix, nil
	}
	return name + r.suffixes[0].packed, nil
}
