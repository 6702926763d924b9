package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/s3/filestore"
	"github.com/weir-go/weir/weirhttp"
)

// leastStoreMemory is the least --memory with which a store takes uploads: half of it is for
// their parts.
const leastStoreMemory = 32 << 20

// togetherWithStore refuses flags that contradict --store.
func (s *serving) togetherWithStore(given func(string) bool, dir string) error {
	refuse := func(text, try string) error { return &failure{code: exitUsage, text: text, try: try} }
	u, err := url.Parse(s.store)
	if f := missingSlash(s.store); f != nil {
		f.try = "--store " + f.try
		return f
	}
	switch {
	case err != nil || !strings.EqualFold(u.Scheme, "s3"):
		return invalid("URL", s.store, "store", "must name a prefix of an object store", "s3://bucket/prefix")
	case dir != "":
		return refuse("--store says what to serve, and so does "+dir, "leave out one of them")
	case s.symlinks:
		return refuse("--symlinks does not work with --store: an object store has no links", "leave out --symlinks")
	case s.sync:
		return refuse("--sync does not work with --store: a store answers when an object is safe", "leave out --sync")
	case s.uploads != "" && (!filepath.IsLocal(s.uploads) || strings.Contains(s.uploads, "://")):
		return invalid("folder", s.uploads, "uploads", "must be a folder of the store", "., for all of the store")
	}
	return nil
}

// openStore opens the store of --store, and another one for the folder of --uploads if that is
// not all of it. It makes sure that servers can share the store if it takes uploads.
func (s *serving) openStore() error {
	o := filestore.Options{Quota: s.sizes.quota, Log: s.logger()}
	if s.uploads != "" {
		if s.sizes.memory < leastStoreMemory {
			return &failure{
				code: exitMemory, text: fmt.Sprintf("--memory %s is too small: uploads to a store need %s", s.memory, weir.FormatBytes(leastStoreMemory)),
				try: "--memory 64MiB",
			}
		}
		s.parts = weir.NewBudget(s.sizes.memory / 2)
		o.Budget = s.parts
	}
	var err error
	if s.files, err = filestore.Open(s.store, o); err != nil {
		return s.cannotUseStore(exitSource, err)
	}
	s.dir = strings.TrimSuffix(s.files.String(), "/")
	s.name = path.Base(s.dir)
	if os.Getenv("GOMEMLIMIT") == "" {
		// Garbage of requests to the store must not add up to the memory of the parts.
		debug.SetMemoryLimit(s.sizes.memory + besideStore)
	}
	if s.uploads == "" {
		return nil
	}
	s.inboxFiles = s.files
	at := path.Clean("/" + filepath.ToSlash(s.uploads))
	if at != "/" {
		inner, _ := url.Parse(s.store) // togetherWithStore has parsed it
		inner.Path, inner.RawPath = path.Join("/", inner.Path, at)+"/", ""
		if s.inboxFiles, err = filestore.Open(inner.String(), o); err != nil {
			return s.cannotUseStore(exitDestination, err)
		}
	}
	s.inbox, s.sameFolder, s.careful = path.Base(strings.TrimSuffix(s.inboxFiles.String(), "/")), at == "/", []string{at}
	if s.hidden || !strings.Contains(at, "/.") {
		s.shown = (&url.URL{Path: at}).EscapedPath()
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	defer stop()
	if err := s.inboxFiles.Probe(ctx); err != nil {
		return s.cannotUseStore(exitDestination, err)
	}
	return nil
}

// besideStore is about the memory of the server in addition to that for transfers.
const besideStore = 32 << 20

// cannotUseStore explains why a store cannot be served.
func (s *serving) cannotUseStore(code int, err error) error {
	if errors.Is(err, filestore.ErrUnsafe) {
		return &failure{code: code, text: strings.TrimPrefix(err.Error(), "filestore: "), try: "another store, or weir serve --store without --uploads, which only reads"}
	}
	f := advised(err, "")
	f.code, f.text = code, "cannot use the store: "+f.text
	var so *s3.Error
	if errors.As(err, &so) {
		f.text = fmt.Sprintf("cannot use the store: %s: %v", so.URL, innermost(so))
		if f.try = so.Advice(); f.try == "" && errno.Is(err, syscall.ECONNREFUSED) {
			f.try = nothingListens(so.URL, err)
		}
	}
	return f
}

// closeStore closes the stores that openStore has opened.
func (s *serving) closeStore() {
	if s.inboxFiles != nil && s.inboxFiles != s.files {
		s.inboxFiles.Close()
	}
	if s.files != nil {
		s.files.Close()
	}
}

// storeUploads returns the handler of uploads to the store.
func (s *serving) storeUploads() *weirhttp.Uploads {
	return &weirhttp.Uploads{Store: s.inboxFiles, MinRequest: storeRequest}
}

// storeRequest is the size below which pieces of a resumable upload to a store are slow.
const storeRequest = 5 << 20

// peak returns the most memory that transfers have taken, at most.
func (s *serving) peak() int64 {
	n := s.guard.Budget.Peak()
	if s.parts != nil {
		n += s.parts.Peak()
	}
	return n
}
