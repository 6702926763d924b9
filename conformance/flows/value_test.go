package flows_test

import (
	"strconv"
	"strings"
)

// keyMask bounds the keys, so that they can be added without care.
const keyMask = 1<<28 - 1

// kind is a type of values that stand for keys.
type kind[T any] struct {
	name string
	mk   func(k int) T
	key  func(v T) int   // -1: the value is damaged
	size func(v T) int   // what a value refers to
	norm func(k int) int // the key that mk(k) has
	most int             // the largest value, in bytes

	makers[T]
}

// makers add operators that make values of other types. Each of those types takes the
// compiler more than a second, so some kinds do without: their makers are nil.
type makers[T any] struct {
	enumerate, batch func(d *draft[T])
	zip              func(d, a, b *draft[T])
}

// record is a value with parts of several types.
type entry struct {
	ID   int
	Name string
	Tags []string
	Data []byte
}

// profile says how large the values of a flow are.
type profile struct {
	name  string
	of    func(h int) int // h is a hash
	most  int
	count int // how many values a source has at most
}

var profiles = []profile{
	{"tiny values", func(h int) int { return h % 17 }, 17, 3000},
	{"tiny values", func(h int) int { return h % 17 }, 17, 300},
	{"values of 0 to 6 KB", func(h int) int {
		if h%64 == 0 {
			return h % 6000
		}
		return h % 200
	}, 6000, 1000},
	{"values of up to 20 KB", func(h int) int { return h % 20000 }, 20000, 100},
	{"values of up to 300 KiB", func(h int) int {
		if h%8 == 0 {
			return 300<<10 - h%5
		}
		return h % 100
	}, 300 << 10, 24},
}

func (p profile) size(k int) int {
	if k == 0 {
		return 0
	}
	return p.of(int(uint64(k) * 0x9e3779b97f4a7c15 >> 40))
}

// filler has no small letters, so that text in capitals stays as it is.
var filler = strings.Repeat("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-/*=", 8000)

// text is the text that stands for k; the empty text stands for 0.
func (p profile) text(k, size int) string {
	if k == 0 {
		return ""
	}
	return strconv.Itoa(k) + ":" + filler[:size]
}

func (p profile) textKey(s string, size func(k int) int) int {
	if s == "" {
		return 0
	}
	num, rest, _ := strings.Cut(s, ":")
	k, err := strconv.Atoi(num)
	if err != nil || len(rest) != size(k) || rest != filler[:len(rest)] {
		return -1
	}
	return k
}

func same(k int) int { return k }

func intKind() *kind[int] {
	return &kind[int]{"ints", same, same, func(int) int { return 0 }, same, 8, makers[int]{enumerate[int], batch[int], zip[int]}}
}

func byteKind() *kind[byte] {
	return &kind[byte]{"bytes", func(k int) byte { return byte(k) }, func(b byte) int { return int(b) },
		func(byte) int { return 0 }, func(k int) int { return k & 0xff }, 1, makers[byte]{}}
}

func (p profile) stringKind() *kind[string] {
	return &kind[string]{
		"strings",
		func(k int) string { return p.text(k, p.size(k)) },
		func(s string) int { return p.textKey(s, p.size) },
		func(s string) int { return len(s) },
		same,
		p.most + 32,
		makers[string]{enumerate[string], batch[string], zip[string]},
	}
}

func (p profile) sliceKind() *kind[[]byte] {
	return &kind[[]byte]{
		"byte slices",
		func(k int) []byte { return []byte(p.text(k, p.size(k))) },
		func(b []byte) int { return p.textKey(string(b), p.size) },
		func(b []byte) int { return len(b) },
		same,
		p.most + 40,
		makers[[]byte]{},
	}
}

func (p profile) recordKind() *kind[entry] {
	half := func(k int) int { return p.size(k) / 2 }
	return &kind[entry]{
		"records",
		func(k int) entry {
			if k == 0 {
				return entry{}
			}
			r := entry{ID: k, Name: p.text(k, half(k)), Data: []byte(filler[:half(k)])}
			for range k % 4 {
				r.Tags = append(r.Tags, "TAG")
			}
			return r
		},
		func(r entry) int {
			if r.ID == 0 && r.Name == "" && len(r.Data) == 0 {
				return 0
			}
			if p.textKey(r.Name, half) != r.ID || len(r.Data) != half(r.ID) || len(r.Tags) != r.ID%4 || string(r.Data) != filler[:len(r.Data)] {
				return -1
			}
			return r.ID
		},
		func(r entry) int { return len(r.Name) + len(r.Data) + 19*len(r.Tags) },
		same,
		p.most + 256,
		makers[entry]{},
	}
}
