package weirhttp

import (
	"strconv"
	"strings"
)

// accepts reports whether the values of an Accept or Accept-Encoding header
// name token with a weight above zero. "*" and, for types, "type/*" do not
// count: what they allow is not asked for.
func accepts(values []string, token string) bool { return weight(values, token) > 0 }

// weight returns the weight of token, from 0 to 1.
func weight(values []string, token string) float64 {
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

// coding chooses how to compress an answer: the coding with the most weight,
// zstd where two are equal, or none.
func coding(accept []string) string {
	z, g := weight(accept, "zstd"), weight(accept, "gzip")
	switch {
	case z > 0 && z >= g:
		return "zstd"
	case g > 0:
		return "gzip"
	}
	return ""
}

// compressible reports whether content of a type gets smaller.
func compressible(contentType string) bool {
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
