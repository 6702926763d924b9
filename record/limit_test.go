package record_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirtest"
)

// limited is a decoder with a limit for one record.
type limited struct {
	name     string
	flow     func(s weir.Stream[byte], most int, record func(string)) *weir.Flow
	before   string // text of two small records
	records  []string
	large    func(n int) string // text of a record of n bytes
	sentinel error
	where    string // what the error says of where the record behind before begins
}

func decodedBy[T any](decode func(s weir.Stream[byte], most int) weir.Stream[T], text func(T) string) func(weir.Stream[byte], int, func(string)) *weir.Flow {
	return func(s weir.Stream[byte], most int, record func(string)) *weir.Flow {
		return decode(s, most).To(weir.Each(func(_ context.Context, v T) error {
			record(text(v))
			return nil
		}))
	}
}

// passedBy sees the bytes that a stage passes on as lines.
func passedBy(stage func(most int) weir.Stage[byte, byte]) func(weir.Stream[byte], int, func(string)) *weir.Flow {
	return func(s weir.Stream[byte], most int, record func(string)) *weir.Flow {
		var part []byte
		return s.Through(stage(most)).To(weir.EachBatch(func(_ context.Context, text []byte) error {
			part = append(part, text...)
			for {
				line, rest, found := bytes.Cut(part, []byte("\n"))
				if !found {
					return nil
				}
				record(string(bytes.TrimSuffix(line, []byte("\r"))))
				part = append(part[:0], rest...)
			}
		}))
	}
}

func limitedDecoders() []limited {
	csv := decodedBy(func(s weir.Stream[byte], most int) weir.Stream[[]string] {
		return record.DecodeCSV(s, record.CSVOptions{Fields: -1, Comment: '#', MaxRecord: int64(most)})
	}, func(r []string) string { return strings.Join(r, "|") })
	const csvBefore = "# a comment is no record, however long it is\na,\"b\nc\"\n\nd\r\n"
	csvRecords := []string{"a|b\nc", "d"}
	csvWhere := fmt.Sprintf("record at line 6 (byte %d)", len(csvBefore))

	some := regexp.MustCompile("^[ab]")
	none := regexp.MustCompile("^$")
	fill := func(n int) string { return strings.Repeat("a", n) }
	return []limited{
		{"DecodeCSV", csv, csvBefore, csvRecords, func(n int) string { return fill(n-2) + ",a\n" }, weir.ErrLimit, csvWhere},
		{"DecodeCSV, a field in quotes", csv, csvBefore, csvRecords, func(n int) string { return `"` + fill(n-4) + `",` + "a\r\n" }, weir.ErrLimit, csvWhere},
		{"DecodeCSV, a field of lines", csv, csvBefore, csvRecords, func(n int) string { return `"` + strings.Repeat("\n", n-4) + `",` + "a\n" }, weir.ErrLimit, csvWhere},
		{"DecodeCSV, a field of long lines", csv, csvBefore, csvRecords, func(n int) string { return `"` + fill((n-4)/2) + "\n" + fill((n-3)/2-1) + `",` + "a\n" }, weir.ErrLimit, csvWhere},
		{"DecodeJSON", decodedBy(func(s weir.Stream[byte], most int) weir.Stream[json.RawMessage] {
			return record.DecodeJSON[json.RawMessage](s, int64(most))
		}, func(m json.RawMessage) string { return string(m) }),
			"1 \n\t[2]  ", []string{"1", "[2]"}, func(n int) string { return `"` + fill(n-2) + "\"\n" }, weir.ErrLimit, "value at byte 9"},
		{"Lines", decodedBy(func(s weir.Stream[byte], most int) weir.Stream[string] {
			return text.Lines(s, text.MaxLine(most))
		}, func(l string) string { return l }),
			"a\r\nb\n", []string{"a", "b"}, func(n int) string { return fill(n) + "\r\n" }, text.ErrLineTooLong, "line 3 (at byte 5)"},
		{"Grep", passedBy(func(most int) weir.Stage[byte, byte] {
			return text.Grep(some, text.MaxLine(most))
		}), "a\r\nb\n", []string{"a", "b"}, func(n int) string { return fill(n) + "\r\n" }, text.ErrLineTooLong, "line 3 (at byte 5)"},
		{"GrepOut", passedBy(func(most int) weir.Stage[byte, byte] {
			return text.GrepOut(none, text.MaxLine(most))
		}), "a\r\nb\n", []string{"a", "b"}, func(n int) string { return fill(n) + "\n" }, text.ErrLineTooLong, "line 3 (at byte 5)"},
		{"DecodeFrames", decodedBy(func(s weir.Stream[byte], most int) weir.Stream[[]byte] {
			return record.DecodeFrames(s, record.Frame32, most)
		}, func(b []byte) string { return string(b) }),
			"\x00\x00\x00\x01a\x00\x00\x00\x00", []string{"a", ""}, func(n int) string {
				return string(binary.BigEndian.AppendUint32(nil, uint32(n))) + fill(n)
			}, record.ErrFrameTooLarge, "frame at byte 9"},
	}
}

// inPieces yields text in pieces: as one, byte for byte, or at random.
func inPieces(text string, seed int) weir.Stream[byte] {
	s := weir.Generate("text", func(_ context.Context, emit func([]byte) error) error { return emit([]byte(text)) })
	switch seed {
	case 0:
		return s
	case 1: // the pipe keeps the pieces apart for a stage with a separate lane
		return s.Async(weir.Bytes(1))
	}
	return s.Through(weirtest.Rechunk[byte](uint64(seed))).Async(weir.Bytes(int64(1 + seed%17)))
}

func TestEveryDecoder_TakesARecordOfItsLimitAndNoMore(t *testing.T) {
	for _, d := range limitedDecoders() {
		t.Run(d.name, func(t *testing.T) {
			for _, most := range []int{11, 100, 3000, 70_000} {
				for seed := range 6 {
					if seed > 0 && most > 10_000 {
						continue // the pieces are too small for it
					}
					fits, tooLarge := d.large(most), d.large(most+1)
					var got []string
					err := d.flow(inPieces(d.before+fits+d.before, seed), most, func(r string) { got = append(got, r) }).Run(t.Context())
					if n := len(d.records); err != nil || len(got) != 2*n+1 || !slices.Equal(got[:n], d.records) || !slices.Equal(got[n+1:], d.records) || len(got[n]) < most-5 {
						t.Fatalf("limit %d, seed %d: %.100q, %v", most, seed, got, err)
					}
					got = nil
					err = d.flow(inPieces(d.before+tooLarge+d.before, seed), most, func(r string) { got = append(got, r) }).Run(t.Context())
					if !errors.Is(err, d.sentinel) {
						t.Fatalf("limit %d, seed %d: %.100q, %v", most, seed, got, err)
					}
					for _, want := range []string{d.where, strconv.Itoa(most) + " B"} {
						if !strings.Contains(err.Error(), want) {
							t.Errorf("limit %d, seed %d: %q does not say %q", most, seed, err, want)
						}
					}
					if !slices.Equal(got, d.records) {
						t.Errorf("limit %d, seed %d: %.100q before the record that is too large, want %q", most, seed, got, d.records)
					}
				}
			}
		})
	}
}

func TestEveryDecoder_HasALimitOfOneMebibyteByDefault(t *testing.T) {
	re := regexp.MustCompile("^a")
	for _, d := range limitedDecoders() {
		byDefault := map[string]func(weir.Stream[byte], int, func(string)) *weir.Flow{
			"Lines":   decodedBy(func(s weir.Stream[byte], _ int) weir.Stream[string] { return text.Lines(s) }, func(l string) string { return l }),
			"Grep":    passedBy(func(int) weir.Stage[byte, byte] { return text.Grep(re) }),
			"GrepOut": passedBy(func(int) weir.Stage[byte, byte] { return text.GrepOut(regexp.MustCompile("^b")) }),
		}[d.name]
		switch {
		case byDefault == nil && d.name == "DecodeFrames":
			continue // its limit is mandatory
		case byDefault == nil:
			byDefault = d.flow // with a limit of 0
		}
		n := 0
		if err := byDefault(inPieces(d.large(1<<20), 0), 0, func(string) { n++ }).Run(t.Context()); err != nil || n != 1 {
			t.Errorf("%s, 1 MiB: %d records, %v", d.name, n, err)
		}
		err := byDefault(inPieces(d.large(1<<20+1), 0), 0, func(string) {}).Run(t.Context())
		if !errors.Is(err, d.sentinel) || !strings.Contains(err.Error(), "1 MiB") {
			t.Errorf("%s, 1 MiB and a byte: %v", d.name, err)
		}
	}
}

// liveHeap returns how many bytes are reachable.
func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

var holdsAtMost = regexp.MustCompile(`holds at most ([0-9.]+) ([KM]iB)`)

// holds returns what the only stage of a flow that holds something declares.
func holds(t *testing.T, flow *weir.Flow) int64 {
	t.Helper()
	text, err := flow.Explain()
	m := holdsAtMost.FindAllStringSubmatch(text, -1)
	if err != nil || len(m) != 1 {
		t.Fatalf("%s\n%v", text, err)
	}
	f, err := strconv.ParseFloat(m[0][1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64((f + 0.05) * float64(map[string]int{"KiB": 1 << 10, "MiB": 1 << 20}[m[0][2]]))
}

// heapOf runs a flow over a text that is made while it is read, and returns by
// how much the live heap grows at most, and the flow's error.
func heapOf(t *testing.T, d limited, text io.Reader, most int) (grown int64, err error) {
	t.Helper()
	base := liveHeap()
	look := func() { grown = max(grown, liveHeap()-base) }
	chunk := 0
	source := weir.Generate("text", func(_ context.Context, emit func([]byte) error) error {
		buf := make([]byte, 64<<10)
		for {
			n, err := io.ReadFull(text, buf)
			if n > 0 {
				if err := emit(buf[:n]); err != nil {
					return err
				}
			}
			if err != nil {
				return nil
			}
			if chunk++; chunk%16 == 0 {
				look()
			}
		}
	})
	err = d.flow(source, most, func(string) { look() }).Run(t.Context())
	runtime.KeepAlive(text)
	return grown, err
}

// besides is what the flow of heapOf holds besides the decoder: a pipe of 256
// KiB, the source's chunk, goroutines and their stacks.
const besides = 512 << 10

// A record far above the limit must not be gathered first and refused then.
func TestEveryDecoder_HoldsNoMoreThanItsLimitOfAHugeRecord(t *testing.T) {
	const size, most = 64 << 20, 1 << 20
	for _, d := range limitedDecoders() {
		if strings.HasSuffix(d.name, "lines") {
			continue // as the others, and slow to make
		}
		t.Run(d.name, func(t *testing.T) {
			head, _, _ := strings.Cut(d.large(1000), "aaaaaaaa")
			if d.name == "DecodeFrames" {
				head = string(binary.BigEndian.AppendUint32(nil, size))
			}
			text := io.MultiReader(strings.NewReader(head), io.LimitReader(zerosAs('a'), size))
			declared := holds(t, d.flow(weir.Values[byte](), most, func(string) {}))
			grown, err := heapOf(t, d, text, most)
			if !errors.Is(err, d.sentinel) {
				t.Error(err)
			}
			if grown > declared+besides {
				t.Errorf("the heap grew by %s; the decoder declares %s", weir.FormatBytes(grown), weir.FormatBytes(declared))
			}
		})
	}
}

// With a limit that lets the record pass, the decoder, the record and nothing
// else is held.
func TestEveryDecoder_HoldsNoMoreThanItDeclares(t *testing.T) {
	for i, d := range limitedDecoders() {
		size := 16 << 20
		if i == 0 {
			size = 64 << 20 // a field of CSV is where a stage once kept anything
		}
		if strings.HasSuffix(d.name, "a field of lines") {
			continue // as the others, and slow to parse
		}
		t.Run(d.name, func(t *testing.T) {
			content := d.large(size)
			records := 0
			inner := d
			inner.flow = func(s weir.Stream[byte], most int, record func(string)) *weir.Flow {
				return d.flow(s, most, func(r string) {
					if len(r) < size-10 {
						t.Errorf("a record of %d bytes", len(r))
					}
					records++
				})
			}
			if strings.HasPrefix(d.name, "Grep") {
				inner = limited{flow: func(s weir.Stream[byte], most int, record func(string)) *weir.Flow {
					stage := text.Grep(regexp.MustCompile("^a"), text.MaxLine(most))
					return s.Through(stage).To(weir.EachBatch(func(_ context.Context, b []byte) error {
						records += bytes.Count(b, []byte("\n"))
						return nil
					}))
				}}
			}
			declared := holds(t, inner.flow(weir.Values[byte](), size, nil))
			if declared > 5*int64(size) {
				t.Errorf("%s declared for a record of %s", weir.FormatBytes(declared), weir.FormatBytes(int64(size)))
			}
			grown, err := heapOf(t, inner, strings.NewReader(content), size)
			if err != nil || records != 1 {
				t.Fatal(records, err)
			}
			if grown > declared+besides || grown < int64(size/2) {
				t.Errorf("the heap grew by %s; the decoder declares %s", weir.FormatBytes(grown), weir.FormatBytes(declared))
			}
		})
	}
}

func TestDecodeCSV_LimitsTheFieldsOfARecord(t *testing.T) {
	const most = 1 << 20
	for _, fields := range []int{most / 16, most/16 + 1} {
		for name, field := range map[string]string{"bare": "", "quoted": `""`} {
			text := strings.Repeat(field+",", fields-1) + field + "\n"
			base := liveHeap()
			var grown int64
			var got int
			flow := record.DecodeCSV(inPieces(text, 0), record.CSVOptions{}).To(weir.Each(func(_ context.Context, r []string) error {
				grown, got = liveHeap()-base, len(r)
				return nil
			}))
			declared := holds(t, flow)
			err := flow.Run(t.Context())
			if fields == most/16 {
				if err != nil || got != fields || grown > declared+int64(len(text))+besides {
					t.Errorf("%s: %d fields, %v, %s held", name, got, err, weir.FormatBytes(grown))
				}
			} else if !errors.Is(err, weir.ErrLimit) || !strings.Contains(err.Error(), "line 1 (byte 0) has more than 65536 fields") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Many small records in one large batch must not be gathered before they are
// handed on.
func TestEveryDecoder_HandsSmallRecordsOnInSmallBatches(t *testing.T) {
	for _, d := range limitedDecoders() {
		if strings.HasPrefix(d.name, "Grep") {
			continue // it passes on the batch as it is
		}
		text := []byte(strings.Repeat(d.large(1000), 4000))
		const most = 1000
		declared := holds(t, d.flow(weir.Values[byte](), most, func(string) {}))
		// One batch of 4 MB, which a stage without a separate lane gets unchanged.
		s := weir.Values[byte]('x').Through(weir.Do("all", func(_ context.Context, _ []byte, emit func([]byte) error) error {
			return emit(text)
		}, nil))
		base, grown, n := liveHeap(), int64(0), 0
		err := d.flow(s, most, func(string) {
			if n++; n%250 == 0 {
				grown = max(grown, liveHeap()-base)
			}
		}).Run(t.Context())
		if err != nil || n != 4000 || grown > declared+besides {
			t.Errorf("%s: %d records, %v, %s held, %s declared", d.name, n, err, weir.FormatBytes(grown), weir.FormatBytes(declared))
		}
		runtime.KeepAlive(text)
	}
}

func TestDecodeCSV_PutsNoLimitOnCommentsAndEmptyLines(t *testing.T) {
	text := "#" + strings.Repeat("long ", 1000) + "\n" + strings.Repeat("\n\r\n", 1000) + "a,b\n#" + strings.Repeat("x", 1000)
	for seed := range 6 {
		got, err := collect(record.DecodeCSV(inPieces(text, seed), record.CSVOptions{Comment: '#', MaxRecord: 3}))
		if err != nil || len(got) != 1 || !slices.Equal(got[0], []string{"a", "b"}) {
			t.Errorf("seed %d: %q, %v", seed, got, err)
		}
	}
}

func TestGrep_DoesWithLongLinesAsItIsTold(t *testing.T) {
	const content = "short a\n" + "0123456789 is long, a\r\n" + "0a23456789 is long\n" + "ten bytes!\r\n" + "0a23456789 is last"
	re := regexp.MustCompile("a")
	for _, tc := range []struct {
		stage weir.Stage[byte, byte]
		want  string
		drops int64
	}{
		{text.Grep(re, text.MaxLine(10), text.CutLong()), "short a\n0a23456789\n0a23456789", 0},
		{text.Grep(re, text.MaxLine(10), text.SkipLong()), "short a\n", 3},
		{text.GrepOut(re, text.MaxLine(10), text.CutLong()), "0123456789\nten bytes!\r\n", 0},
		{text.GrepOut(re, text.MaxLine(10), text.SkipLong()), "ten bytes!\r\n", 3},
	} {
		for seed := range 8 {
			var got []byte
			flow := inPieces(content, seed).Through(tc.stage).To(weir.EachBatch(func(_ context.Context, b []byte) error {
				got = append(got, b...)
				return nil
			}))
			if err := flow.Run(t.Context()); err != nil || string(got) != tc.want {
				t.Errorf("%s, seed %d: %q, %v, want %q", tc.stage.Name, seed, got, err, tc.want)
			}
			for _, s := range flow.Report().Stages {
				if s.Name == tc.stage.Name && s.Dropped != tc.drops {
					t.Errorf("%s, seed %d: %d dropped, want %d", tc.stage.Name, seed, s.Dropped, tc.drops)
				}
			}
		}
	}
}

func TestEveryDecoder_RefusesALimitThatIsNone(t *testing.T) {
	s := weir.Values[byte]('a')
	re := regexp.MustCompile("a")
	for name, flow := range map[string]*weir.Flow{
		"DecodeCSV":    record.DecodeCSV(s, record.CSVOptions{MaxRecord: -1}).To(weir.Discard[[]string]()),
		"DecodeJSON":   record.DecodeJSON[any](s, -1).To(weir.Discard[any]()),
		"Lines":        text.Lines(s, text.MaxLine(0)).To(weir.Discard[string]()),
		"Grep":         s.Through(text.Grep(re, text.MaxLine(-1), text.CutLong())).To(weir.Discard[byte]()),
		"GrepOut":      s.Through(text.GrepOut(re, text.MaxLine(-5), text.SkipLong())).To(weir.Discard[byte]()),
		"DecodeFrames": record.DecodeFrames(s, record.Frame32, 0).To(weir.Discard[[]byte]()),
	} {
		if flow.Check() == nil {
			t.Errorf("%s: the limit is accepted", name)
		}
	}
}

// The largest number is a common way to say "no limit".
func TestEveryDecoder_TakesTheLargestLimit(t *testing.T) {
	for _, d := range limitedDecoders() {
		for seed := range 3 {
			var got []string
			err := d.flow(inPieces(d.before, seed), math.MaxInt, func(r string) { got = append(got, r) }).Run(t.Context())
			if err != nil || !slices.Equal(got, d.records) {
				t.Errorf("%s: %q, %v", d.name, got, err)
			}
		}
	}
}

// Every stage distinguishes input that is too large from damaged input, and
// names the option that allows it.
func TestLimitError_OfEveryStageNamesItsOption(t *testing.T) {
	content := strings.Repeat("x", 100)
	in := func(s string) weir.Stream[byte] { return weir.FromReader(strings.NewReader(s)) }
	x := regexp.MustCompile("x")
	for name, c := range map[string]struct {
		err    func() error
		kind   error
		option string
		max    int64
		need   int64
	}{
		"Lines": {func() error { _, err := collect(text.Lines(in(content), text.MaxLine(50))); return err },
			text.ErrLineTooLong, "MaxLine", 50, 0},
		"Grep": {func() error {
			_, err := collect(in(content).Through(text.Grep(x, text.MaxLine(50))))
			return err
		},
			text.ErrLineTooLong, "MaxLine", 50, 0},
		"GrepOut": {func() error {
			_, err := collect(in(content + "\n").Through(text.GrepOut(x, text.MaxLine(50))))
			return err
		}, text.ErrLineTooLong, "MaxLine", 50, 0},
		"DecodeJSON": {func() error { _, err := collect(record.DecodeJSON[any](in(`"`+content+`"`), 50)); return err },
			weir.ErrLimit, "the argument most of DecodeJSON", 50, 0},
		"DecodeCSV": {func() error {
			_, err := collect(record.DecodeCSV(in(content), record.CSVOptions{MaxRecord: 50}))
			return err
		},
			weir.ErrLimit, "CSVOptions.MaxRecord", 50, 0},
		"DecodeCSV, fields": {func() error {
			_, err := collect(record.DecodeCSV(in(strings.Repeat(",", 5000)), record.CSVOptions{MaxRecord: 6000}))
			return err
		}, weir.ErrLimit, "CSVOptions.MaxRecord", 6000, 0},
		"DecodeFrames": {func() error {
			_, err := collect(record.DecodeFrames(in("\x00\x00\x00\x64"+content), record.Frame32, 50))
			return err
		}, record.ErrFrameTooLarge, "the argument most of DecodeFrames", 50, 100},
		"DecodeJSON, depth": {func() error {
			_, err := collect(record.DecodeJSON[json.RawMessage](in(strings.Repeat("[", 10001)+strings.Repeat("]", 10001)), 0))
			return err
		}, weir.ErrLimit, "", 10000, 0},
	} {
		err := c.err()
		var le *weir.LimitError
		if !errors.Is(err, c.kind) || !errors.As(err, &le) || le.Option != c.option || le.Max != c.max || le.Need != c.need || !strings.Contains(err.Error(), c.option) {
			t.Errorf("%s: %v (%+v)", name, err, le)
		}
	}
}
