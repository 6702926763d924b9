package s3

import "testing"

func TestUpload_ResizedToLargerPartsHoldsNoMore(t *testing.T) {
	for _, c := range []struct {
		first, most int
		holds       int64
		want        int
	}{
		{2, 5, 5 * heldPart, 3},
		{2, 5, filePart, 1},
		{1, 1, 2 * heldPart, 1},
		{4, 4, 100 * filePart, 4},
		{2, 5, 0, 1}, // none would be no upload
	} {
		u := &upload{part: heldPart, allowed: c.first, reserve: c.most - c.first}
		u.resize(filePart, c.holds)
		if got := u.allowed + u.reserve; got != c.want || u.allowed < 1 || u.reserve < 0 || u.part != filePart {
			t.Errorf("%+v: %d parts of %d bytes, %d at first", c, got, u.part, u.allowed)
		}
	}
}
