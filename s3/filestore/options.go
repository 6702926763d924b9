package filestore

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/s3/internal/access"
	"github.com/weir-go/weir/weirhttp"
)

// Options are the settings of a Store. The zero value is ready to use.
type Options struct {
	// Store has the settings that the URL does not set. Of its PartSize and Parallel,
	// only PartSize is used.
	Store s3.Store

	// HTTP has the options for requests to the store. Header is not used.
	HTTP endpoint.HTTPOptions

	// Budget provides the parts of all uploads. It should be used for nothing else: an
	// upload that waits for a part of 8 MiB would hold up all other users of
	// it. It limits the size of a file to 4,500 times the budget. Nil means 128 MiB.
	Budget *weir.Budget

	// Quota is the most bytes of files under the prefix, including uploads under way;
	// zero means no limit. It holds for all servers together, if all of them have it. With
	// a quota, each upload lists the files under the prefix: one request for 1,000 files.
	Quota int64

	// Log gets the errors of cleanups; nil means slog.Default().
	Log *slog.Logger
}

// Store is a prefix of a bucket as a [weirhttp.FileStore] and [weirhttp.UploadStore]. It can
// be used concurrently.
type Store struct {
	b      *access.Bucket
	quota  int64
	log    *slog.Logger
	budget *weir.Budget
	watch  time.Duration // between two looks of a request whether it has lost its upload
	short  int           // parts before only full ones are sent; see mostShort

	mu    sync.Mutex        // guards known
	known map[string]*entry // the newest states that this process knows of

	pending atomic.Int64 // uploads in progress, about
}

var (
	_ weirhttp.FileStore   = (*Store)(nil)
	_ weirhttp.UploadStore = (*Store)(nil)
)

// Open opens the store behind s3://bucket/prefix. It sends no request. Close the store when
// no handler uses it any more.
func Open(name string, o Options) (*Store, error) {
	b, err := access.Open(o.Store, name, o.HTTP)
	if err != nil {
		return nil, err
	}
	s := &Store{b: b, quota: o.Quota, log: o.Log, budget: o.Budget, watch: 5 * time.Second, short: mostShort, known: make(map[string]*entry)}
	s.log = cmp.Or(s.log, slog.Default())
	if s.budget == nil {
		s.budget = weir.NewBudget(defaultBudget)
	}
	if least := b.PartSize(0); s.budget.Total() < least {
		b.Close()
		return nil, fmt.Errorf("filestore: a budget of %s is less than one part of %s", weir.FormatBytes(s.budget.Total()), weir.FormatBytes(least))
	}
	return s, nil
}

const defaultBudget = 128 << 20

// Close closes the connections to the store.
func (s *Store) Close() error {
	s.b.Close()
	return nil
}

// String returns the URL of the prefix.
func (s *Store) String() string { return s.b.URL(s.b.Prefix) }

// key returns the key of a file.
func (s *Store) key(name string) string {
	if name == "." {
		return s.b.Prefix
	}
	return s.b.Prefix + name
}

// hiddenDir is the folder of all objects that are not files. Clients never see its name.
const hiddenDir = ".weir-uploads/"

func (s *Store) hidden() string              { return s.b.Prefix + hiddenDir }
func (s *Store) stateKey(id string) string   { return s.hidden() + id + stateSuffix }
func (s *Store) contents(id string) string   { return s.hidden() + id + "/" }
func (s *Store) quotaPrefix() string         { return s.hidden() + "quota/" }
func (s *Store) part(id, name string) string { return s.contents(id) + name }

const stateSuffix = ".json"

// idOf returns the id of the upload that a key below hidden belongs to, and the rest.
func (s *Store) idOf(key string) (id, rest string) {
	key = strings.TrimPrefix(key, s.hidden())
	if i := strings.IndexAny(key, "./"); i >= 0 {
		return key[:i], key[i:]
	}
	return key, ""
}

// lasting returns a context for work that must be done even if its request has ended, with
// a time limit.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}

// patience is how long a store can take for one step of an upload that nobody waits for.
const patience = 5 * time.Minute
