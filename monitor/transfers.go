package monitor

import (
	"time"

	"github.com/weir-go/weir"
)

// Transfers is the registry of a server's transfers, such as that of package
// weirhttp. Its methods may be called at any time, by several goroutines, and
// return soon.
type Transfers interface {
	// Totals counts the transfers since the registry was made, those on their
	// way included.
	Totals() Totals

	// Top returns at most n of the transfers on their way: those that have
	// waited longest for their clients, the longest wait first.
	Top(n int) []Transfer

	// ReportOf returns the report on a transfer that is on its way.
	ReportOf(id uint64) (weir.Report, bool)
}

// Totals counts transfers.
type Totals struct {
	Active    int64 `json:"active"`    // on their way
	Succeeded int64 `json:"succeeded"` // all of it was moved
	Failed    int64 `json:"failed"`
	BytesIn   int64 `json:"bytes_in"`  // that clients have sent
	BytesOut  int64 `json:"bytes_out"` // that clients were sent

	UploadsSucceeded int64 `json:"uploads_succeeded"` // of Succeeded
	UploadsFailed    int64 `json:"uploads_failed"`    // of Failed
}

// Transfer is what is known of one transfer at one moment.
type Transfer struct {
	ID     uint64
	Kind   string // "download" or "upload"
	Method string // of HTTP
	Name   string // the path of the file, as the client knows it
	Client string // host:port
	Start  time.Time
	Size   int64         // bytes; -1: not known
	Moved  int64         // bytes the client has sent, or has taken from the server
	Unsent int64         // bytes in the kernel that wait for the client
	State  string        // in words, such as "sending" or "waiting for the client"
	Waited time.Duration // for its client, in all
}

// TransferGroup is one registry of transfers in a [Snapshot].
type TransferGroup struct {
	Totals
	Rows   map[string]Row `json:"rows"`             // by ID: those that have waited longest, at most 200
	Hidden int64          `json:"hidden,omitempty"` // on their way, and not in Rows
}

// Row is a [Transfer] in a [Snapshot].
type Row struct {
	Kind   string  `json:"kind"`
	Method string  `json:"method"`
	Name   string  `json:"name"`
	Client string  `json:"client"`
	Start  float64 `json:"start"`
	Size   int64   `json:"size"`
	Moved  int64   `json:"moved"`
	Unsent int64   `json:"unsent"`
	Rate   float64 `json:"rate"` // bytes a second since it was last looked at
	State  string  `json:"state"`
	Waited float64 `json:"waited"`
}

// maxRows is how many transfers of a registry a snapshot shows.
const maxRows = 200
