package filestore

import (
	"encoding/json"
	"fmt"
)

// record is the contents of a state object. Its size is limited.
type record struct {
	Nonce string          `json:"nonce"` // new for each state, so that no two are equal and no ETag comes back
	Epoch int64           `json:"epoch"`
	Size  int64           `json:"size"` // -1: unknown
	Phase phase           `json:"phase,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`

	Offset int64  `json:"offset"`          // bytes that are saved: in the parts, and in the tail
	Runs   []run  `json:"runs,omitempty"`  // the newest parts, in order
	Index  string `json:"index,omitempty"` // the object that lists the parts before those; "": none
	Before extent `json:"before,omitzero"` // number and size of the parts in the index
	Tail   *tail  `json:"tail,omitempty"`
	Place  *place `json:"place,omitempty"` // the last attempt to give the file its name
	Room   int64  `json:"room,omitempty"`  // bytes reserved of the quota
}

// extent returns the number and the size of the parts.
func (r *record) extent() extent {
	e := r.Before
	for _, run := range r.Runs {
		e.Parts += run.Count
		e.Bytes += run.Bytes
	}
	return e
}

// phase is how far an upload is.
type phase string

const (
	arriving phase = ""
	placing  phase = "placing"
	done     phase = "done"
	deleted  phase = "deleted" // its objects are being removed
)

// run is a number of parts of one epoch, one after the other.
type run struct {
	Epoch int64 `json:"e"`
	First int   `json:"f"` // number of the first part
	Count int   `json:"n"`
	Part  int64 `json:"p"` // bytes of each part except the last
	Bytes int64 `json:"b"` // of all of them
}

// size returns the size of the part with index i, from 0 on.
func (r run) size(i int) int64 {
	if i == r.Count-1 {
		return r.Bytes - int64(i)*r.Part
	}
	return r.Part
}

// extent is a number of parts.
type extent struct {
	Parts int   `json:"n"`
	Bytes int64 `json:"b"`
}

// tail is an object with the bytes behind the last part.
type tail struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// place is an attempt to give a file its name.
type place struct {
	Name   string `json:"name"`
	Upload string `json:"upload,omitempty"` // of the multipart upload; "": one request
}

// index is an object with older parts of an upload.
type index struct {
	Index string `json:"index,omitempty"` // the one before
	Runs  []run  `json:"runs"`
}

// mostRuns is how many runs a state has before they move to an index.
const mostRuns = 64

func partName(epoch int64, n int) string { return fmt.Sprintf("%d.%d", epoch, n) }

// entry is a state, and the ETag of the object that it was read from or written to.
type entry struct {
	record
	etag string
}
