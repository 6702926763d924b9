package lab

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp"
)

// This file does with weir what naive.go does without.

// weirFiles serves the file with weirhttp.Files under a Guard whose budget is the
// memory that the tutorial promises: 64 KiB for each connection.
func weirFiles(ctx context.Context, h *Host) error {
	root, err := os.OpenRoot(filepath.Dir(h.file))
	if err != nil {
		return err
	}
	defer root.Close()
	return h.guarded(ctx, weir.NewBudget(chunkSize*int64(h.atOnce)), weirhttp.Files(root))
}

// weirUpload reads each body as fast as the disk takes it. The budget has room for
// the flows of all clients.
func weirUpload(ctx context.Context, h *Host) error {
	d := h.newDisk()
	upload := func(w http.ResponseWriter, r *http.Request) *weir.Flow {
		body := weirhttp.Body(w, r, weirhttp.BodyOptions{Limit: weir.Bytes(4 * chunkSize)})
		return body.To(weir.EachBatch(func(ctx context.Context, part []byte) error { return d.take(ctx, len(part)) }))
	}
	sample, err := http.NewRequest(http.MethodPost, "/", http.NoBody)
	if err != nil {
		return err
	}
	c, err := upload(nil, sample).Ceiling()
	if err != nil {
		return err
	}
	budget := weir.NewBudget(c.Bytes * int64(h.Settings.Clients))
	return h.guarded(ctx, budget, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flow := upload(w, r)
		flow.Budget = budget
		if err := flow.Run(r.Context()); err != nil {
			http.Error(w, "Upload failed", weirhttp.BodyStatus(err))
			return
		}
		_, _ = io.WriteString(w, "Upload complete")
	}))
}

// weirTransform makes a thousand records of each item with FlatMap, whose emit
// waits while the pipe behind it is full.
func weirTransform(ctx context.Context, h *Host) error {
	items := weir.Generate("items", func(_ context.Context, emit func([]int64) error) error {
		for i := range h.items() {
			if err := emit([]int64{i}); err != nil {
				return err
			}
		}
		return nil
	})
	records := weir.FlatMap(items, func(_ context.Context, i int64, emit func(...[]byte) error) error {
		for range perItem {
			if err := emit(h.record(i)); err != nil {
				return err
			}
		}
		return nil
	})
	d := h.newDisk()
	flow := records.Async(weir.Bytes(4 * chunkSize)).To(weir.Each(func(ctx context.Context, record []byte) error {
		return d.take(ctx, len(record))
	}))
	flow.MaxValue = 2 * recordSize // a record and its slot, so that the ceiling is a number
	return h.flow(ctx, flow)
}

// weirFanOut gives the stream to three readers with Tee. The slow one governs.
func weirFanOut(ctx context.Context, h *Host) error {
	branch := weir.Branch{Limit: weir.Bytes(4 * chunkSize)}
	readers := weir.Tee(weir.FromReader(h.source()), branch, branch, branch)
	d := h.newDisk()
	flow := weir.Join(
		readers[0].To(weir.EachBatch(func(ctx context.Context, part []byte) error { return d.take(ctx, len(part)) })),
		readers[1].To(weir.Discard[byte]()),
		readers[2].To(weir.Discard[byte]()),
	)
	return h.flow(ctx, flow)
}
