package main

import (
	"context"
	"slices"

	"github.com/weir-go/weir"
)

// sizesRow measures the cost of counting the memory that values in a pipe refer
// to, beside values of the same width that refer to nothing.
func sizesRow(e *env) row {
	n := e.size(5_000_000, 1_000_000)
	few := e.size(1_000_000, 200_000)
	return row{
		name: "sizes", title: "values through an asynchronous boundary, for each value",
		unit: nanoseconds, base: "two ints",
		contenders: []contender{
			{name: "two ints", n: n, loop: passEach([2]int{1, 2})},
			{name: "string", n: n, loop: passEach("a line of text")},
			{name: "two ints, in batches", n: n, loop: pass([2]int{1, 2})},
			{name: "string, in batches", n: n, loop: pass("a line of text")},
			{name: "eight ints", n: n, loop: pass([8]int{1})},
			{name: "struct of four strings", n: n, loop: pass(person{"Ada", "Lovelace", "St James's Square", "London"})},
			{name: "forty ints", n: few, loop: pass([40]int{1})},
			{name: "record of 20 fields", n: few, loop: pass(aRecord())},
		},
		targets: []target{
			atMost("string", 1.5, "two ints"),
			noAllocation("string"),
			noAllocation("record of 20 fields"),
		},
		notes: []string{"The limit is the default, 256 KiB and 4,096 values. The array of ints above each is about as wide as the value, and has no size to measure. The first two go through FromSlice, Async and Each; all others in batches of 256, for which two ints cost no more than a copy."},
	}
}

type person struct{ first, last, street, town string }

// record is like a row of a table: 20 fields, of which 14 refer to memory.
type record struct {
	id                        int64
	name, mail, street, town  string
	zip, country, phone, site string
	born                      int64
	height, weight            float64
	active                    bool
	tags                      []string
	note, photo               []byte
	score                     int32
	language, zone            string
	hash                      [32]byte
}

func aRecord() record {
	return record{
		name: "Ada Lovelace", mail: "ada@example.org", street: "12 St James's Square", town: "London", zip: "SW1Y 4JH",
		country: "UK", tags: []string{"mathematics", "poetry", "engines"}, note: make([]byte, 100),
		phone: "none", language: "en", zone: "Europe/London",
	}
}

// passEach sends n times v through a pipe to a function that takes one value.
func passEach[T any](v T) func(n int) (uint64, error) {
	var vs []T
	return func(n int) (uint64, error) {
		if len(vs) != n {
			vs = slices.Repeat([]T{v}, n)
		}
		var count uint64
		err := weir.FromSlice(vs).Async(weir.Limit{}).To(weir.Each(func(context.Context, T) error {
			count++
			return nil
		})).Run(context.Background())
		return count, err
	}
}

// pass sends n times v through a pipe, in batches.
func pass[T any](v T) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		source := weir.Generate("values", func(_ context.Context, emit func([]T) error) error {
			batch := make([]T, 256)
			for i := range batch {
				batch[i] = v
			}
			for left := n; left > 0; left -= len(batch) {
				if err := emit(batch[:min(left, len(batch))]); err != nil {
					return err
				}
			}
			return nil
		})
		var count uint64
		err := source.Async(weir.Limit{}).To(weir.EachBatch(func(_ context.Context, batch []T) error {
			count += uint64(len(batch))
			return nil
		})).Run(context.Background())
		return count, err
	}
}
