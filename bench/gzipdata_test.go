package main

import (
	"bytes"
	"errors"
	"testing"
)

func TestGzipData_IsTheSameEachTimeAndAsLongAsAsked(t *testing.T) {
	const most = 1 << 20
	for _, k := range gzipKinds() {
		var made [2]bytes.Buffer
		for i := range made {
			if err := k.fill(&limitedWriter{&made[i], most}); !errors.Is(err, errFull) {
				t.Fatalf("%s: %v, want %v after %d bytes", k.name, err, errFull, most)
			}
		}
		if made[0].Len() != most || !bytes.Equal(made[0].Bytes(), made[1].Bytes()) {
			t.Errorf("%s: %d bytes, then %d, the same: %v", k.name, made[0].Len(), made[1].Len(), bytes.Equal(made[0].Bytes(), made[1].Bytes()))
		}
	}
}
