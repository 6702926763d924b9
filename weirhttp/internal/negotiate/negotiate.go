// Package negotiate reads the Accept headers of HTTP requests and chooses the
// Content-Encoding of an answer.
package negotiate

import (
	"strconv"
	"strings"
)

// Accepts reports whether the values of an Accept or Accept-Encoding header name
// token with a weight above zero. The wildcards "*" and "type/*" do not count:
// they allow token but do not ask for it.
func Accepts(values []string, token string) bool { return Weight(values, token) > 0 }

// Weight returns the weight that the values of an Accept or Accept-Encoding header
// give token, from 0 (not accepted, or not named) to 1.
func Weight(values []string, token string) float64 {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			name, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(name), token) {
				continue
			}
			for p := range strings.SplitSeq(params, ";") {
				k, q, ok := strings.Cut(strings.TrimSpace(p), "=")
				if !ok || !strings.EqualFold(strings.TrimSpace(k), "q") {
					continue
				}
				w, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
				if err != nil || w < 0 || w > 1 {
					return 0
				}
				return w
			}
			return 1
		}
	}
	return 0
}

// Coding chooses the Content-Encoding of an answer from the values of
// Accept-Encoding: zstd or gzip, whichever has the higher weight. It prefers zstd
// when both are equal, and returns "" when the client accepts neither.
func Coding(accept []string) string {
	z, g := Weight(accept, "zstd"), Weight(accept, "gzip")
	switch {
	case z > 0 && z >= g:
		return "zstd"
	case g > 0:
		return "gzip"
	}
	return ""
}

// Compressible reports whether content of this type usually gets smaller when it
// is compressed.
func Compressible(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	main, sub, _ := strings.Cut(t, "/")
	switch {
	case main == "text":
		return true
	case main == "application":
		switch sub {
		case "json", "x-ndjson", "jsonl", "xml", "javascript", "wasm", "x-javascript", "yaml", "toml", "sql":
			return true
		}
	case t == "image/svg+xml", t == "image/bmp", t == "font/ttf", t == "font/otf":
		return true
	}
	return strings.HasSuffix(sub, "+json") || strings.HasSuffix(sub, "+xml")
}
