package e2e

import (
	"testing"

	"github.com/weir-go/weir/internal/storetest"
	"github.com/weir-go/weir/s3/filestore"
)

// openStore opens a prefix of a bucket, through p if that is not nil.
func openStore(t *testing.T, name string, p *proxy) *filestore.Store {
	t.Helper()
	return openAt(t, name, "some/prefix", p)
}

func openAt(t *testing.T, name, prefix string, p *proxy) *filestore.Store {
	t.Helper()
	store, err := filestore.Open("s3://"+name+"/"+prefix, filestore.Options{Store: storeOf(p)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func TestFileStore_IsAStoreForUploads(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		name, _ := bucket(t, nil)
		return func() storetest.Store { return openStore(t, name, nil) }
	})
}

func TestProbe_AcceptsAStoreThatHonoursConditionsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	name, _ := bucket(t, nil)
	store := openStore(t, name, nil)
	if err := store.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if list := objects(t, name); len(list) > 0 {
		t.Errorf("left: %v", list)
	}
	if list := parts(t, name); len(list) > 0 {
		t.Errorf("left parts: %v", list)
	}
}
