package negotiate

import "testing"

func TestWeight_ReadsTheQualityOfAToken(t *testing.T) {
	for _, c := range []struct {
		header []string
		token  string
		want   float64
	}{
		{nil, "gzip", 0},
		{[]string{"gzip"}, "gzip", 1},
		{[]string{"br, GZIP;q=0.5"}, "gzip", 0.5},
		{[]string{"br", "gzip ; q=0.25 ; x=1"}, "gzip", 0.25},
		{[]string{"gzip;q=0"}, "gzip", 0},
		{[]string{"gzip;q=2"}, "gzip", 0},
		{[]string{"gzip;q=x"}, "gzip", 0},
		{[]string{"*"}, "gzip", 0},
		{[]string{"text/*"}, "text/html", 0},
	} {
		if got := Weight(c.header, c.token); got != c.want {
			t.Errorf("Weight(%q, %q) = %v, want %v", c.header, c.token, got, c.want)
		}
		if Accepts(c.header, c.token) != (c.want > 0) {
			t.Errorf("Accepts(%q, %q) is wrong", c.header, c.token)
		}
	}
}

func TestCoding_PrefersTheHigherWeightAndThenZstd(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "br": "", "gzip": "gzip", "zstd": "zstd", "gzip, zstd": "zstd",
		"gzip;q=1, zstd;q=0.9": "gzip", "gzip;q=0, zstd;q=0": "",
	} {
		if got := Coding([]string{header}); got != want {
			t.Errorf("Coding(%q) = %q, want %q", header, got, want)
		}
	}
}

func TestCompressible_KnowsTypesThatGetSmaller(t *testing.T) {
	for kind, want := range map[string]bool{
		"text/plain; charset=utf-8": true, "application/JSON": true, "application/vnd.x+json": true, "image/svg+xml": true,
		"image/png": false, "application/zip": false, "application/octet-stream": false, "": false,
	} {
		if got := Compressible(kind); got != want {
			t.Errorf("Compressible(%q) = %v", kind, got)
		}
	}
}
