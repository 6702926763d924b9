package main

import (
	"slices"
	"strings"

	"github.com/weir-go/weir/report"
)

// named returns the report with the names that the user typed: gunzip,
// exec:cat. If a stage has several steps, their names begin with the name of
// the stage.
func (s *step) named(r report.Report) report.Report {
	if len(s.words) == 0 {
		return r
	}
	r.Stages = slices.Clone(r.Stages)
	for i := range r.Stages {
		r.Stages[i].Name = s.typedName(r.Stages[i].Name)
	}
	r.Pipes = slices.Clone(r.Pipes)
	for i := range r.Pipes {
		if from, to, ok := strings.Cut(r.Pipes[i].Name, " → "); ok {
			r.Pipes[i].Name = s.typedName(from) + " → " + s.typedName(to)
		}
	}
	v := &r.Verdict
	v.Stage, v.Waiting = s.typedName(v.Stage), s.typedName(v.Waiting)
	for i := range v.Between {
		v.Between[i].Name = s.typedName(v.Between[i].Name)
	}
	return r
}

func (s *step) typedName(name string) string {
	w, ok := s.words[name]
	if !ok {
		return name
	}
	base, _, _ := strings.Cut(name, "#")
	if len(w.stages) == 1 || base == w.kind {
		return w.name
	}
	return w.name + "/" + base
}
