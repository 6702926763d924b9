package weir_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-go/weir"
)

// Whatever the stage, input that is too large is told from input that is broken,
// with the option that allows it.
func TestLimitError_OfEveryStageNamesItsOption(t *testing.T) {
	text := strings.Repeat("x", 100)
	in := func(s string) weir.Stream[byte] { return weir.FromReader(strings.NewReader(s)) }
	x := regexp.MustCompile("x")
	for name, c := range map[string]struct {
		err    func() error
		kind   error
		option string
		max    int64
		need   int64
	}{
		"Lines": {func() error { _, err := collect(weir.Lines(in(text), weir.MaxLine(50, weir.FailLong))); return err },
			weir.ErrLineTooLong, "MaxLine", 50, 0},
		"Grep": {func() error {
			_, err := collect(in(text).Through(weir.Grep(x, weir.MaxLine(50, weir.FailLong))))
			return err
		},
			weir.ErrLineTooLong, "MaxLine", 50, 0},
		"GrepOut": {func() error {
			_, err := collect(in(text + "\n").Through(weir.GrepOut(x, weir.MaxLine(50, weir.FailLong))))
			return err
		}, weir.ErrLineTooLong, "MaxLine", 50, 0},
		"DecodeJSON": {func() error { _, err := collect(weir.DecodeJSON[any](in(`"`+text+`"`), 50)); return err },
			weir.ErrLimit, "the argument most of DecodeJSON", 50, 0},
		"DecodeCSV": {func() error { _, err := collect(weir.DecodeCSV(in(text), weir.CSV{MaxRecord: 50})); return err },
			weir.ErrLimit, "CSV.MaxRecord", 50, 0},
		"DecodeCSV, fields": {func() error {
			_, err := collect(weir.DecodeCSV(in(strings.Repeat(",", 5000)), weir.CSV{MaxRecord: 6000}))
			return err
		}, weir.ErrLimit, "CSV.MaxRecord", 6000, 0},
		"DecodeFrames": {func() error {
			_, err := collect(weir.DecodeFrames(in("\x00\x00\x00\x64"+text), weir.Frame32, 50))
			return err
		}, weir.ErrFrameTooLarge, "the argument most of DecodeFrames", 50, 100},
		"DecodeJSON, depth": {func() error {
			_, err := collect(weir.DecodeJSON[json.RawMessage](in(strings.Repeat("[", 10001)+strings.Repeat("]", 10001)), 0))
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
