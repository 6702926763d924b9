package weirhttp

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/weir-go/weir/weirhttp/internal/precondition"
)

// uploadStore keeps resumable uploads that are in progress: for each a small state, and
// the content that has arrived. Several processes can share one store. They need neither
// locks nor clocks of their own, because every change of a state is a compare-and-swap.
//
// A request that wants to work with an upload takes it over: it swaps in the state with
// the next epoch. From then on the request of an earlier epoch can neither change the
// state nor add to the content. The newest request always wins, because its client has
// given up the older one.
//
// All errors other than those named here are failures of the store. A method that does
// not find the upload returns an error that matches [fs.ErrNotExist].
type uploadStore interface {
	// allows returns an error if finish would now refuse to give a file this name.
	allows(want string, r rule) error

	// create stores the state of a new upload, with epoch 1 and without content. It
	// reserves space for s.Size bytes. The error matches fs.ErrExist if there is an
	// upload with this id.
	create(ctx context.Context, id string, s uploadState) error

	// read returns the state and its version. No two states that an upload ever has
	// get the same version. s.Offset is the length of the content.
	read(ctx context.Context, id string) (s uploadState, version string, err error)

	// swap replaces the state if it still has this version. Otherwise the error is
	// errChanged. It reserves more space if s.Size has grown.
	swap(ctx context.Context, id, version string, s uploadState) error

	// append opens the content of an upload whose epoch the caller has swapped in. It
	// waits until the content of earlier epochs is closed or fenced off, and returns
	// errWritten if that takes too long, errChanged if the upload has been taken over.
	// The store calls lost, at most once and from a separate goroutine, when it
	// notices that a later epoch was swapped in.
	append(ctx context.Context, id string, epoch int64, lost func()) (uploadContent, error)

	// remove removes the upload if its state still has this version; otherwise the
	// error is errChanged. A file that has its name stays.
	remove(ctx context.Context, id, version string) error

	// sweep removes each upload that has not changed since before, except those for
	// which claim returns false. It calls release after each one that claim allowed.
	sweep(ctx context.Context, before time.Time, claim func(id string) (release func(), ok bool)) error
}

// uploadContent is the content of an upload during one epoch. It is for one goroutine.
type uploadContent interface {
	// Write adds p at the end. It reserves space if the upload has too little.
	io.Writer

	// size returns the length of the content.
	size() int64

	// cut removes everything behind the first n bytes.
	cut(n int64) error

	// flush brings the content to stable storage if the store promises that.
	flush() error

	// content returns a reader of all bytes, to compute a digest.
	content() io.Reader

	// finish gives the content its name, under the conditions of r, in one step. The
	// state of the upload must say uploadPlacing. again says that it did so already
	// when the upload was taken over; then finish first looks whether the content has
	// its name. replaced says that another file had the name.
	finish(want string, r rule, again bool) (got Received, replaced bool, err error)

	// close ends the epoch. It must be called, also after finish.
	close() error
}

// errChanged is the error of a compare-and-swap that another request has won.
var errChanged = errors.New("another request has changed the upload")

// errWritten is the error when another process still writes to an upload.
var errWritten = &refusal{503, "Another server process is still writing this upload"}

// errTaken is the error of a request that another one has ended by taking over its upload.
// The bytes so far are kept.
var errTaken = &refusal{http.StatusLocked, "Another request has taken over the upload"}

// waitKey is the key of the context until whose end a request waits for memory. It ends
// with the request, unlike the contexts of its changes to a store.
type waitKey struct{}

// uploadPhase is how far an upload is from its final name.
type uploadPhase string

const (
	uploadArriving uploadPhase = ""
	uploadPlacing  uploadPhase = "placing" // it is complete, and has its name or is about to get it
	uploadDone     uploadPhase = "done"    // it has its name; a client that missed the answer can still ask
)

// uploadState is the state of an upload in progress. Stores keep it as JSON. Its size does
// not depend on how much has arrived.
type uploadState struct {
	Epoch    int64               `json:"epoch,omitempty"` // how often a request has taken over the upload
	Nonce    string              `json:"nonce,omitempty"` // new for each state, so that no two are equal
	Size     int64               `json:"size"`            // bytes of the whole file
	Deferred bool                `json:"deferred,omitempty"`
	Explicit bool                `json:"explicit,omitempty"` // the client says when it is complete; else the last byte does
	Metadata map[string]string   `json:"metadata,omitempty"`
	Folder   string              `json:"folder,omitempty"`  // of the file
	Digests  map[string][]string `json:"digests,omitempty"` // header fields with digests of the whole file
	Phase    uploadPhase         `json:"state,omitempty"`
	precondition.Terms

	Offset int64 `json:"-"` // bytes that have arrived; the store knows
}

// isReady reports whether the upload is complete and has no name yet.
func (s *uploadState) isReady() bool {
	return s.Phase == uploadPlacing || s.Phase == uploadArriving && !s.Explicit && !s.Deferred && s.Offset == s.Size
}

const uploadIDLength = 26

func newUploadID() string { return strings.ToLower(rand.Text()) }

// isUploadID reports whether s has the form of newUploadID. Nothing else becomes part of a
// file name.
func isUploadID(s string) bool {
	return len(s) == uploadIDLength && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
