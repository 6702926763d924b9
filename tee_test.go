package weir

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestTee_GivesEveryBranchEverything(t *testing.T) {
	xs := make([]int, 10000)
	for i := range xs {
		xs[i] = i
	}
	var got [3][]int
	var flows []*Flow
	for i, s := range Tee(FromSlice(xs), Branch{}, Branch{Limit: Items(1)}, Branch{}) {
		flows = append(flows, s.To(Each(func(_ context.Context, v int) error {
			got[i] = append(got[i], v)
			return nil
		})))
	}
	if err := Join(flows...).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if !slices.Equal(got[i], xs) {
			t.Errorf("branch %d got %d values", i, len(got[i]))
		}
	}
}

func TestTee_RefusesAnUnusedBranch(t *testing.T) {
	b := Tee(Values(1), Branch{}, Branch{})
	err := b[0].To(Discard[int]()).Run(context.Background())
	if err == nil {
		t.Fatal("a tee with an unused branch ran")
	}
	t.Log(err)
}

func TestDropOldest_KeepsTheNewestAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub[int]
		r, err := hub.Attach(Branch{Policy: DropOldest, Limit: Items(3)})
		if err != nil {
			t.Fatal(err)
		}
		if err := Values(1, 2, 3, 4, 5, 6, 7).To(hub.Sink()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []int
		for {
			v, err := r.Recv(t.Context())
			if err != nil {
				break
			}
			got = append(got, v)
		}
		if !slices.Equal(got, []int{5, 6, 7}) || r.Stats().Dropped != 4 {
			t.Errorf("got %v and %d dropped, want [5 6 7] and 4", got, r.Stats().Dropped)
		}
	})
}

func TestDisconnect_EndsALaggingBranchOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub[int]
		slow, _ := hub.Attach(Branch{Policy: Disconnect, Lag: time.Second, Limit: Items(1)})
		fast, _ := hub.Attach(Branch{Limit: Items(100)})
		begin := time.Now()
		if err := Values(1, 2, 3).To(hub.Sink()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("the others waited %v, want 1s", d)
		}
		slow.Recv(t.Context())
		if _, err := slow.Recv(t.Context()); !errors.Is(err, ErrLagging) {
			t.Errorf("the slow reader got %v, want ErrLagging", err)
		}
		if n := fast.Stats().Items; n != 3 {
			t.Errorf("the fast reader holds %d values, want 3", n)
		}
	})
}
