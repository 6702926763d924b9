package durable

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// From returns the source that endpoint.Source finds under name: a file, or a
// URL whose server can send a part of it and identifies its contents with
// certainty. It checks the name and opens nothing. Standard input cannot resume.
func From(name string, o endpoint.HTTPOptions) (Source, error) {
	s := &named{name: name, http: o}
	in, err := s.at(Position{})
	if err != nil {
		return nil, err
	}
	s.in = in
	if name, local := endpoint.Local(name); local && name == "-" {
		return nil, fmt.Errorf("standard input %w", ErrCannotResume)
	}
	flow := in.Stream().To(weir.Discard[byte]())
	c, err := flow.Ceiling()
	if err != nil {
		return nil, err
	}
	names, err := flow.StageNames()
	if err != nil {
		return nil, err
	}
	s.kind, s.holds = names[0], c.Bytes+pipeHolds
	return s, nil
}

// pipeHolds is the size of the pipe behind a source that runs as a separate flow.
const pipeHolds = 1 << 20

// named is a source of package endpoint.
type named struct {
	name  string
	http  endpoint.HTTPOptions
	in    endpoint.Input
	kind  string // "read" for a file
	holds int64
}

func (s *named) at(p Position) (endpoint.Input, error) {
	return endpoint.Source(s.name, endpoint.SourceOptions{Offset: p.Offset, Validator: p.Version, HTTP: s.http})
}

func (s *named) Name() string   { return s.kind }
func (s *named) String() string { return endpoint.Redact(s.name) }
func (s *named) Holds() int64   { return s.holds }

func (s *named) Stat(ctx context.Context) (string, error) {
	info, err := s.in.Stat(ctx)
	switch {
	case err != nil:
		return "", err
	case !info.Resumable:
		return "", fmt.Errorf("%w: %s", ErrCannotResume, s.why(info))
	}
	return info.Validator, nil
}

// why says why the source cannot begin at an offset.
func (s *named) why(info endpoint.Info) string {
	_, local := endpoint.Local(s.name)
	switch {
	case local:
		return "it is not a regular file"
	case info.Validator == "":
		return "the server does not identify this version of the contents (no strong ETag)"
	}
	return "the server sends no parts of it (no Accept-Ranges)"
}

func (s *named) Open(ctx context.Context, p Position) (io.ReadCloser, error) {
	in, err := s.at(p)
	if err != nil {
		return nil, err
	}
	return &outer{weir.Open(ctx, in.Stream())}, nil
}

func (s *named) Done(context.Context, int64) error { return nil }

// outer reads a separate flow.
type outer struct{ io.ReadCloser }

// Read returns the error of the source without the name of its stage: it is a
// stage of another flow for us.
func (r *outer) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	var se *weir.StageError
	if errors.As(err, &se) {
		err = se.Err
	}
	return n, err
}
