package size

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unique"
	"unsafe"
	"weak"
)

const word64 = int64(unsafe.Sizeof(uintptr(0)))

type (
	person struct {
		ID   int
		Name string
		Mail *string
		Tags []string
	}
	list struct {
		Name string
		Next *list
	}
	tree struct {
		Name string
		Kids []tree
	}
	nest    []nest
	session struct {
		mu    sync.Mutex
		names []string
	}
	counter struct {
		mu sync.Mutex
		n  int
	}
	mixed struct {
		Name string
		Tags map[string]int
		Any  any
		Note string
	}
	ownLock sync.Mutex
	guarded struct {
		lock ownLock
		text string
	}
)

// check measures v in all the ways there are, and compares the results.
func check[T any](t *testing.T, v T, want int64, wantWhy string) {
	t.Helper()
	f, covered, why := Of[T]()
	if covered != (wantWhy == "") || why != wantWhy {
		t.Errorf("%T: covered %v (%q), want %q", v, covered, why, wantWhy)
	}
	value := Value[T]()
	sum, fill := Batch[T]()
	if want < 0 {
		if f != nil || value != nil || sum != nil || fill != nil {
			t.Errorf("%T has a size function", v)
		}
		return
	}
	if f == nil || value == nil || sum == nil || fill == nil {
		t.Fatalf("%T has no size function", v)
	}
	vs := []T{v, *new(T), v}
	costs := make([]int64, 3)
	n, total := fill(vs, 7, Most, costs)
	if a, b, c := f(&v), value(v), sum(vs); a != want || b != want || c != 2*want || n != 3 || total != 2*want+21 {
		t.Errorf("%T: Of %d, Value %d, sum %d, fill %d values of %d; want %d", v, a, b, c, n, total, want)
	}
	if costs[0] != want+7 || costs[1] != 7 || costs[2] != want+7 {
		t.Errorf("%T: charged %v, want %d", v, costs, want+7)
	}
	if n, total := fill(vs, 7, want+14, costs); want > 0 && (n != 2 || total != want+14 || costs[2] != want+7) {
		t.Errorf("%T: %d values of %d bytes, then %d, fit into %d", v, n, total, costs[2], want+14)
	}
	if n, total := fill(vs, 7, 6, costs); n != 0 || total != 0 || costs[0] != want+7 {
		t.Errorf("%T: %d values of %d bytes fit into 6", v, n, total)
	}
	if n, total := fill(nil, 7, 6, nil); n != 0 || total != 0 || sum(nil) != 0 {
		t.Errorf("%T: no values are %d of %d bytes", v, n, total)
	}
}

const flat = -1 // no size function

func TestOf_MeasuresWhatAValueRefersTo(t *testing.T) {
	mail := "ada@example.org"
	check(t, "some text", 9, "")
	check(t, json.Number("12"), 2, "")
	check(t, json.RawMessage(make([]byte, 3, 10)), 10, "")
	check(t, make([]byte, 3, 10), 10, "")
	check(t, make([]int64, 3, 10), 80, "")
	check(t, make([]string, 3, 10), 20*word64, "")
	check(t, []string{"ab", "", "cde"}, 6*word64+5, "")
	check(t, [][]string{{"ab"}, nil, {"c"}}, 9*word64+4*word64+3, "")
	check(t, [][]byte{make([]byte, 1, 2), nil}, 6*word64+2, "")
	check(t, []*int32{new(int32), nil}, 2*word64+4, "")
	check(t, [2]string{"ab", "c"}, 3, "")
	check(t, [100][]byte{5: {1}, 99: {1, 2}}, 3, "")
	check(t, [100]*string{7: &mail}, 2*word64+15, "")
	check(t, [3][3]string{{"a"}, {"", "b"}}, 2, "")
	check(t, new(int64), 8, "")
	check(t, (*int64)(nil), 0, "")
	check(t, &mail, 2*word64+15, "")
	check(t, new(&mail), word64+2*word64+15, "")
	check(t, person{Name: "Ada", Mail: &mail, Tags: []string{"x"}}, 3+2*word64+15+2*word64+1, "")
	check(t, &person{Name: "Ada"}, int64(unsafe.Sizeof(person{}))+3, "")
	check(t, (*person)(nil), 0, "")
	check(t, struct {
		N int32
		p pair
	}{p: pair{Town: "Rome"}}, 4, "")
	number := big.NewInt(1 << 40)
	check(t, *number, int64(cap(number.Bits()))*word64, "")
	check(t, *bytes.NewBuffer(make([]byte, 0, 64)), 64, "")
	check(t, *strings.NewReader("text"), 4, "")
	check(t, url.URL{Host: "host", Path: "/path"}, 9, "")
}

func TestOf_FlatTypesHaveNoFunction(t *testing.T) {
	check(t, 1, flat, "")
	check(t, byte(1), flat, "")
	check(t, 1i, flat, "")
	check(t, uintptr(1), flat, "")
	check(t, struct{}{}, flat, "")
	check(t, &struct{}{}, flat, "")
	check(t, []struct{}{{}}, flat, "")
	check(t, [0]string{}, flat, "")
	check(t, [0]map[int]int{}, flat, "")
	check(t, [2]int{}, flat, "")
	check(t, struct {
		_ [0]func()
		_ string
		N int
	}{}, flat, "")
	check(t, time.Now(), flat, "")
	check(t, time.UTC, flat, "")
	check(t, netip.MustParseAddr("fe80::1%eth0"), flat, "")
	check(t, netip.AddrPort{}, flat, "")
	check(t, netip.Prefix{}, flat, "")
	check(t, unique.Make("text"), flat, "")
	check(t, weak.Make(new(person)), flat, "")
	check(t, atomic.Int64{}, flat, "")
	check(t, struct {
		At   time.Time
		From netip.Addr
		N    [4]int
	}{}, flat, "")
}

func TestOf_NamesWhatItDoesNotCover(t *testing.T) {
	check(t, map[string]int{"a": 1}, flat, "map[string]int")
	check(t, any("text"), flat, "any")
	check(t, func() {}, flat, "func()")
	check(t, make(chan int), flat, "chan int")
	check(t, unsafe.Pointer(nil), flat, "unsafe.Pointer")
	check(t, mixed{Name: "abc", Tags: map[string]int{}, Any: 1, Note: "d"}, 4, "field Tags (map[string]int)")
	check(t, []any{1, 2}, 4*word64, "field [] (any)")
	check(t, struct{ In struct{ List []mixed } }{}, 0, "field In.List[].Tags (map[string]int)")
	check(t, struct{ M *map[string]any }{new(map[string]any)}, word64, "field M (map[string]any)")
	check(t, list{"ab", &list{"c", &list{}}}, 2+3*word64, "field Next (*size.list, a recursive type)")
	check(t, &list{"ab", &list{"c", &list{}}}, 2+6*word64, "field Next (*size.list, a recursive type)")
	check(t, tree{"ab", []tree{{"c", nil}}}, 2+5*word64, "field Kids ([]size.tree, a recursive type)")
	check(t, nest{nest{}, nil}, 6*word64, "size.nest, a recursive type")
	check(t, struct{ V atomic.Pointer[int] }{}, flat, "field V (atomic.Pointer[int])")
	check(t, struct{ M sync.Map }{}, flat, "field M (sync.Map)")
	check(t, new(struct{ P sync.Pool }), int64(unsafe.Sizeof(sync.Pool{})), "field P (sync.Pool)")
}

// What a lock guards may be changed by another goroutine while a value that
// points to it is measured. The race detector finds a read of it.
func TestOf_NeverReadsMemoryBehindALock(t *testing.T) {
	own := int64(unsafe.Sizeof(session{}))
	s := &session{names: []string{"a"}}
	check(t, s, own, "*size.session, which holds a sync.Mutex")
	check(t, struct{ S []session }{make([]session, 2)}, 2*own, "field S ([]size.session, which holds a sync.Mutex)")
	check(t, []*session{s}, own+word64, "field [] (*size.session, which holds a sync.Mutex)")
	c := &counter{n: 1}
	c.mu.Lock()
	check(t, c, int64(unsafe.Sizeof(*c)), "")
	g := &guarded{text: "ab"}
	(*sync.Mutex)(&g.lock).Lock()
	check(t, g, int64(unsafe.Sizeof(guarded{})), "*size.guarded, which holds a sync.Mutex")

	f, _, _ := Of[*session]()
	var all sync.WaitGroup
	all.Go(func() {
		for range 1000 {
			s.mu.Lock()
			s.names = append(s.names, "b")
			s.mu.Unlock()
		}
	})
	for range 1000 {
		f(&s)
	}
	all.Wait()
}

func TestOf_CutsOffAtMost(t *testing.T) {
	// Many slices that share one piece of memory, which is never touched.
	if math.MaxInt == math.MaxInt32 {
		t.Skip("an address space of 4 GiB is too small for this")
	}
	big := unsafe.Slice(new(byte), 1)
	(*sliceHeader)(unsafe.Pointer(&big)).cap = math.MaxInt >> 17
	a := make([][]byte, 1<<9)
	for i := range a {
		a[i] = big
	}
	b := make([][][]byte, 1<<9)
	for i := range b {
		b[i] = a
	}
	f, _, _ := Of[[][][]byte]()
	if got, want := f(&b), int64(Most); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	sum, fill := Batch[[][][]byte]()
	costs := make([]int64, 2)
	n, total := fill([][][][]byte{b, b}, 24, Most, costs)
	if got := sum([][][][]byte{b, b}); got != Most || n != 1 || total != Most {
		t.Errorf("sum %d; filled %d of %d", got, n, total)
	}
}

func TestOf_AllocatesNothing(t *testing.T) {
	vs := []record{aRecord(), aRecord()}
	costs := make([]int64, len(vs))
	Of[record]()
	if n := testing.AllocsPerRun(100, func() {
		f, _, _ := Of[record]()
		value := Value[record]()
		sum, fill := Batch[record]()
		local := vs[1]
		sink += f(&vs[0]) + value(local) + sum(vs)
		fill(vs, 1, Most, costs)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// walk is the slow and obvious way to measure v.
func walk(v reflect.Value) (n int64) {
	switch v.Kind() {
	case reflect.String:
		return int64(v.Len())
	case reflect.Slice:
		n = int64(v.Cap()) * int64(v.Type().Elem().Size())
		for i := range v.Len() {
			n += walk(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			n += walk(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*time.Location]() {
			n = int64(v.Type().Elem().Size()) + walk(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += walk(v.Field(i))
		}
	}
	return n
}

var leaves = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[string](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
	reflect.TypeFor[bool](), reflect.TypeFor[uint8](), reflect.TypeFor[int16](), reflect.TypeFor[int64](), reflect.TypeFor[float32](),
	reflect.TypeFor[struct{}](), reflect.TypeFor[time.Time](), reflect.TypeFor[big.Int](), reflect.TypeFor[person](),
	reflect.TypeFor[map[string]int](), reflect.TypeFor[any](), reflect.TypeFor[func()](), reflect.TypeFor[chan int](),
}

func randomType(r *rand.Rand, depth int) reflect.Type {
	if depth == 0 {
		return leaves[r.IntN(len(leaves))]
	}
	switch r.IntN(7) {
	case 0:
		return reflect.SliceOf(randomType(r, depth-1))
	case 1:
		return reflect.PointerTo(randomType(r, depth-1))
	case 2:
		return reflect.ArrayOf([]int{0, 1, 2, 5, 20}[r.IntN(5)], randomType(r, depth-1))
	case 3:
		return randomType(r, 0)
	}
	fields := make([]reflect.StructField, r.IntN(7))
	for i := range fields {
		fields[i] = reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: randomType(r, depth-1)}
	}
	return reflect.StructOf(fields)
}

func randomize(r *rand.Rand, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Now().In(time.UTC)))
		return
	}
	if v.Type() == reflect.TypeFor[big.Int]() {
		v.Addr().Interface().(*big.Int).Lsh(big.NewInt(1), uint(r.IntN(1000)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat("x", r.IntN(20)))
	case reflect.Slice:
		if r.IntN(4) > 0 {
			n := r.IntN(5)
			v.Set(reflect.MakeSlice(v.Type(), n, n+r.IntN(3)))
		}
		for i := range v.Len() {
			randomize(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			randomize(r, v.Index(i))
		}
	case reflect.Pointer:
		if r.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			randomize(r, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			randomize(r, v.Field(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Interface:
		v.Set(reflect.ValueOf("some text"))
	case reflect.Int16, reflect.Int64:
		v.SetInt(-1)
	case reflect.Uint8:
		v.SetUint(255)
	}
}

func TestOf_AgreesWithAWalkOverRandomValues(t *testing.T) {
	measured, nonzero := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 10))
		typ := randomType(r, r.IntN(5))
		m, why := compile(typ)
		if (why == "") != coveredByWalk(typ) {
			t.Errorf("seed %d: %v: not covered: %q", seed, typ, why)
		}
		for range 3 {
			v := reflect.New(typ)
			randomize(r, v.Elem())
			want := walk(v.Elem())
			var got int64
			if m != nil {
				got = m.measure(v.UnsafePointer())
				measured++
			}
			if want > 0 {
				nonzero++
			}
			if got != want {
				t.Fatalf("seed %d: %v: got %d, want %d", seed, typ, got, want)
			}
		}
	}
	if measured < 3000 || nonzero < 2000 {
		t.Errorf("only %d values were measured, %d of them not empty", measured, nonzero)
	}
}

// coveredByWalk reports whether t, made of the leaves, holds none that is not
// covered.
func coveredByWalk(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
		return false
	case reflect.Array:
		return t.Len() == 0 || coveredByWalk(t.Elem())
	case reflect.Slice:
		return coveredByWalk(t.Elem())
	case reflect.Pointer:
		return t == reflect.TypeFor[*time.Location]() || coveredByWalk(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !coveredByWalk(t.Field(i).Type) {
				return false
			}
		}
	}
	return true
}

func TestOf_AgreesWithTheLiveHeap(t *testing.T) {
	live[string](t, func() string { return strings.Repeat("x", 1000) })
	live[record](t, func() record {
		v := aRecord()
		for _, s := range []*string{&v.Name, &v.Mail, &v.Street, &v.Town, &v.Zip, &v.Country, &v.Phone, &v.Language, &v.Zone} {
			*s = strings.Repeat("x", 50)
		}
		v.Tags = []string{strings.Repeat("y", 64), strings.Repeat("z", 500)}
		v.Note = make([]byte, 700)
		v.Parent = new([16]byte)
		return v
	})
	live[*tree](t, func() *tree { return &tree{Name: strings.Repeat("x", 200), Kids: make([]tree, 3, 10)} })
}

// live compares the memory of 1000 values with what they measure. The heap
// rounds each allocation up to a size class, by less than a third for those
// made here.
func live[T any](t *testing.T, f func() T) {
	t.Helper()
	vs := make([]T, 1000)
	before := heap()
	for i := range vs {
		vs[i] = f()
	}
	grown := heap() - before
	sum, _ := Batch[T]()
	want := sum(vs)
	if grown < want*99/100 || grown > want*4/3 {
		t.Errorf("%T: 1000 values measure %d bytes, but the heap grew by %d", vs[0], want, grown)
	}
	runtime.KeepAlive(vs)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMeter_ChargesLikeFill(t *testing.T) {
	type pair struct {
		name string
		tags []string
	}
	check := func(t *testing.T, sums []int64, largest int64, costs []int64) {
		var sum, most int64
		for i, c := range costs {
			sum, most = sum+c, max(most, c)
			if sums[i] != sum {
				t.Errorf("sum %d is %d, want %d", i, sums[i], sum)
			}
		}
		if largest != most {
			t.Errorf("the largest is %d, want %d", largest, most)
		}
	}
	strs := []string{"", "a", "", "four", "bc"}
	sums, costs := make([]int64, len(strs)), make([]int64, len(strs))
	_, fill := Batch[string]()
	fill(strs, 16, Most, costs)
	check(t, sums, Charges(MeterOf[string](), strs, 16, sums), costs)
	pairs := []pair{{"a", nil}, {}, {"bcd", []string{"e", "f"}}}
	sums, costs = make([]int64, len(pairs)), make([]int64, len(pairs))
	_, fillPairs := Batch[pair]()
	fillPairs(pairs, 40, Most, costs)
	check(t, sums, Charges(MeterOf[pair](), pairs, 40, sums), costs)
	if MeterOf[int]().Measures() || !MeterOf[string]().Measures() {
		t.Error("an int is measured, or a string is not")
	}
	type counted struct {
		_    Elsewhere
		data []byte
	}
	x := &counted{data: make([]byte, 100)}
	if f, covered, _ := Of[*counted](); f != nil || !covered || len(x.data) == 0 {
		t.Error("memory that is counted elsewhere is measured here")
	}
}
