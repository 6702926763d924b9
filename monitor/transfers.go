package monitor

import "github.com/weir-go/weir/report"

// Transfers is the registry of a server's transfers, such as the one in package
// weirhttp. Its methods may be called at any time, by several goroutines, and
// return soon.
type Transfers interface {
	// Totals counts the transfers since the registry was made, including
	// running ones.
	Totals() report.Totals

	// Top returns at most n of the running transfers: those that have waited
	// longest for their clients, the longest wait first.
	Top(n int) []report.Transfer

	// ReportOf returns the report on a running transfer.
	ReportOf(id uint64) (report.Report, bool)
}

// TransferGroup is one registry of transfers in a [Snapshot].
type TransferGroup struct {
	report.Totals
	Rows   map[string]Row `json:"rows"`             // by ID: those that have waited longest, at most 200
	Hidden int64          `json:"hidden,omitempty"` // running, and not in Rows
}

// Row is a [report.Transfer] in a [Snapshot].
type Row struct {
	Kind   string  `json:"kind"` // "download" or "upload"
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
