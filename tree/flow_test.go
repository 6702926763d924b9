package tree_test

import (
	"path/filepath"
	"testing"

	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/tree"
)

func TestFlow_ReportsTheCopyThatRunDoes(t *testing.T) {
	src := source(t)
	c := tree.Copy{From: src, To: filepath.Join(t.TempDir(), "dst"), Workers: 2}
	flow := c.Flow()
	if c.Flow() != flow || flow.Report().Running {
		t.Error("Flow makes another flow each time, or starts it")
	}
	if before := c.Progress(); before != (tree.Progress{}) {
		t.Errorf("%+v before the copy", before)
	}
	must(t, c.Run(t.Context()))
	r := flow.Report()
	if r.Running || r.Err != nil || r.Wall <= 0 {
		t.Errorf("%+v", r)
	}
	var p tree.Progress = c.Progress()
	var found, copied int64
	for _, s := range r.Stages {
		switch s.Kind {
		case report.KindSource:
			found = s.Out
		case report.KindSink:
			copied = s.In
		}
	}
	if found == 0 || found != copied || copied < p.Files || !p.Walked || p.Bytes != p.Found {
		t.Errorf("%d found, %d copied, %+v", found, copied, p)
	}
}
