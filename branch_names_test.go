package weir_test

import (
	"testing"

	"github.com/weir-go/weir"
)

func TestPolicy_HasAName(t *testing.T) {
	for policy, want := range map[weir.Policy]string{
		weir.Block: "block", weir.DropOldest: "drop oldest", weir.DropNewest: "drop newest", weir.Disconnect: "disconnect",
	} {
		if policy.String() != want {
			t.Errorf("%d is %q, want %q", int(policy), policy, want)
		}
	}
}
