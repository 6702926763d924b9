package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"time"
)

const (
	maxViewers   = 16
	writeTimeout = 5 * time.Second // for each write to a viewer
	viewerRate   = 16 << 10        // bytes a second of differences that a viewer gets
)

// viewer is one open page. The sampler leaves the latest sample in its slot and
// never waits for it.
type viewer struct {
	slot chan *sampled // capacity 1
}

// put replaces the sample in the slot. Only one goroutine at a time may call it.
func (v *viewer) put(s *sampled) {
	select {
	case <-v.slot:
	default:
	}
	v.slot <- s
}

// sendEvent writes now, or how it differs from was if that is not nil. It returns
// the number of bytes.
func sendEvent(w http.ResponseWriter, rc *http.ResponseController, was, now map[string]any) (int, error) {
	name, data := "snapshot", any(now)
	if was != nil {
		name, data = "patch", mergePatch(was, now)
	}
	text, err := json.Marshal(data)
	if err != nil {
		return 0, err
	}
	if err := rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	event := make([]byte, 0, len(text)+64)
	event = append(event, "event: "...)
	event = append(event, name...)
	event = append(event, "\ndata: "...)
	event = append(event, text...)
	event = append(event, "\n\n"...)
	n, err := w.Write(event)
	if err != nil {
		return n, err
	}
	return n, rc.Flush()
}

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
