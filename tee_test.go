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

func TestDisconnect_LagsRunAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub[int]
		for range 10 {
			r, _ := hub.Attach(Branch{Policy: Disconnect, Lag: time.Second, Limit: Items(1)})
			defer r.Close()
		}
		// It needs most of its own Lag for all values, behind those that time out.
		slow, _ := hub.Attach(Branch{Policy: Disconnect, Lag: time.Second, Limit: Items(1)})
		got := make(chan int)
		go func() {
			for n := 0; ; n++ {
				time.Sleep(300 * time.Millisecond)
				if _, err := slow.Recv(t.Context()); err != nil {
					got <- n
					return
				}
			}
		}()
		begin := time.Now()
		if err := Values(1, 2, 3, 4).To(hub.Sink()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("the flow waited %v for 10 readers at once", d)
		}
		if n := <-got; n != 4 {
			t.Errorf("a slow reader got %d of 4 values", n)
		}
	})
}

func TestHub_MeasuresValuesAsItIsTold(t *testing.T) {
	hub := Hub[map[string]int]{Size: func(map[string]int) int { return 1 << 20 }}
	r, err := hub.Attach(Branch{Policy: DropNewest, Limit: Bytes(2 << 20)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := FromSlice(make([]map[string]int, 1000)).To(hub.Sink()).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := r.Stats(); st.Items < 1 || st.Items > 2 || st.Dropped != 1000-int64(st.Items) {
		t.Errorf("holds %d values of 1 MiB, dropped %d; the limit is 2 MiB", st.Items, st.Dropped)
	}
}

func TestPolicy_HasANameWhateverItIs(t *testing.T) {
	for p, want := range map[Policy]string{Block: "block", Disconnect: "disconnect", 9: "Policy(9)", -1: "Policy(-1)"} {
		if p.String() != want {
			t.Errorf("got %s, want %s", p, want)
		}
	}
}
