package report

import "time"

// Transfer describes one transfer of a server at one moment.
type Transfer struct {
	ID     uint64 // counts from 1 in its registry
	Upload bool   // the client sends; else it receives
	Method string // of HTTP
	Name   string // the path of the file
	Client string // host:port
	Start  time.Time
	Size   int64         // bytes; -1: not known
	Moved  int64         // bytes the client has sent, or has taken from the server
	Unsent int64         // bytes in the kernel that wait for the client; 0 if the system does not report them
	State  string        // in words: "sending", "waiting for the client"
	Waited time.Duration // for its client, in all
}

// Totals counts the transfers of a server since it was started.
type Totals struct {
	Active    int64 `json:"active"`    // running now
	Succeeded int64 `json:"succeeded"` // all of it was moved
	Failed    int64 `json:"failed"`
	BytesIn   int64 `json:"bytes_in"`  // that clients have sent
	BytesOut  int64 `json:"bytes_out"` // that clients were sent

	UploadsSucceeded int64 `json:"uploads_succeeded"` // of Succeeded
	UploadsFailed    int64 `json:"uploads_failed"`    // of Failed
}
