package lab

// unmeasured is the value of a quantity that this system does not report.
const unmeasured = -1

// A Sample is what was measured of one process at one moment. A value of -1 was
// not measured.
type Sample struct {
	Seconds  float64 `json:"seconds"`  // since the load began
	Resident int64   `json:"resident"` // bytes of memory
	Kernel   int64   `json:"kernel"`   // bytes of kernel memory of its server's sockets
	Files    int64   `json:"files"`    // open descriptors
	Read     int64   `json:"read"`     // bytes read or made, since the load began
	Sent     int64   `json:"sent"`     // bytes that the other end has taken
}

// state has the numbers that the system reports about a process.
type state struct {
	resident int64
	peak     int64 // the highest resident so far, as the system keeps it
	files    int64
	read     int64 // bytes that its system calls have read
}

var nothing = state{unmeasured, unmeasured, unmeasured, unmeasured}
