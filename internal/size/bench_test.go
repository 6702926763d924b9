package size

import "testing"

type pair struct{ First, Last, Street, Town string }

type record struct {
	ID       int64
	Name     string
	Mail     string
	Street   string
	Town     string
	Zip      string
	Country  string
	Born     int64
	Height   float64
	Weight   float64
	Active   bool
	Tags     []string
	Note     []byte
	Score    int32
	Level    uint8
	Parent   *[16]byte
	Phone    string
	Language string
	Zone     string
	Hash     [32]byte
}

func aRecord() record {
	return record{
		Name: "Ada Lovelace", Mail: "ada@example.org", Street: "12 St James's Square", Town: "London", Zip: "SW1Y 4JH",
		Country: "UK", Tags: []string{"mathematics", "poetry", "engines"}, Note: make([]byte, 100), Parent: new([16]byte),
		Phone: "none", Language: "en", Zone: "Europe/London",
	}
}

var sink int64

func benchOf[T any](b *testing.B, v T) {
	f, _, _ := Of[T]()
	vs := make([]T, 256)
	for i := range vs {
		vs[i] = v
	}
	b.Run("of", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			sink += f(&vs[i%len(vs)])
		}
	})
	b.Run("value", func(b *testing.B) {
		f := Value[T]()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			sink += f(vs[i%len(vs)])
		}
	})
	sum, fill := Batch[T]()
	perValue := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(vs)), "ns/value")
	}
	b.Run("sum", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink += sum(vs)
		}
		perValue(b)
	})
	b.Run("fill", func(b *testing.B) {
		costs := make([]int64, len(vs))
		b.ReportAllocs()
		for b.Loop() {
			_, n := fill(vs, 16, Most, costs)
			sink += n
		}
		perValue(b)
	})
}

func BenchmarkString(b *testing.B) { benchOf(b, "some text") }
func BenchmarkStruct(b *testing.B) {
	benchOf(b, pair{"Ada", "Lovelace", "St James's Square", "London"})
}
func BenchmarkRecord(b *testing.B)  { benchOf(b, aRecord()) }
func BenchmarkStrings(b *testing.B) { benchOf(b, []string{"mathematics", "poetry", "engines"}) }

// BenchmarkInt is what a pipe asks of a type that has no size function.
func BenchmarkInt(b *testing.B) {
	for b.Loop() {
		if f, _, _ := Of[int](); f != nil {
			b.Fatal("an int has a size function")
		}
	}
}
