//go:build !linux

package procpipe

// Find returns ErrUnsupported.
func Find() (*Scan, error) { return nil, ErrUnsupported }

// Lookup returns ErrUnsupported.
func Lookup(int) (Process, error) { return Process{}, ErrUnsupported }

// Sampler adds up the activity of processes.
type Sampler struct{ totals Totals }

// Sample returns ErrUnsupported.
func (s *Sampler) Sample([]*Pipeline) error { return ErrUnsupported }

// Totals returns nothing.
func (s *Sampler) Totals() Totals { return s.totals }
