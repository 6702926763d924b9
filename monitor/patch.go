package monitor

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// parseTree decodes a JSON object. Numbers keep their text.
func parseTree(text []byte) map[string]any {
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&tree) != nil {
		return nil
	}
	return tree
}

// mergePatch returns the JSON merge patch (RFC 7396) that turns was into now, or
// nil if they are equal. Neither may contain null.
func mergePatch(was, now map[string]any) map[string]any {
	var patch map[string]any
	set := func(key string, v any) {
		if patch == nil {
			patch = map[string]any{}
		}
		patch[key] = v
	}
	for key := range was {
		if _, ok := now[key]; !ok {
			set(key, nil)
		}
	}
	for key, v := range now {
		old, ok := was[key]
		if !ok {
			set(key, v)
			continue
		}
		if m, ok := v.(map[string]any); ok {
			if n, ok := old.(map[string]any); ok {
				if p := mergePatch(n, m); p != nil {
					set(key, p)
				}
				continue
			}
		}
		if !reflect.DeepEqual(old, v) {
			set(key, v)
		}
	}
	return patch
}
