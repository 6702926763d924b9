package lab

import (
	"encoding/json"
	"os"
	"testing"
)

func withBroken() []Experiment { return Experiments() }

func TestTry(t *testing.T) {
	e, ok := Find(Experiments(), os.Getenv("EXP"))
	if !ok {
		t.Skip()
	}
	o := Options{Command: []string{os.Args[0], sideArgument}, Guard: 2 << 30}
	if os.Getenv("NODE") != "" {
		o.Node, _ = FindNode()
	}
	list, err := e.Run(t.Context(), o)
	if err != nil {
		t.Error(err)
	}
	for _, r := range list {
		for _, s := range r.Sides {
			t.Log(len(s.Samples))
			s.Samples = nil
		}
		b, _ := json.MarshalIndent(r, "", " ")
		t.Logf("%s", b)
	}
}
