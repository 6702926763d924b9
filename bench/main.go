// Command bench measures weir beside its peers, in one run.
//
//	go run . [-row name,…] [-n rounds] [-quick] [-md] [-o file] [-dir folder] [-keep]
//
// Contenders of a row take turns, round by round, and are compared by their
// medians: machines are noisy, and a figure counts only beside its peer in the
// same run. A peer that is not installed is reported as not present.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "exec" {
		if err := execChild(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := mainErr(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func mainErr() error {
	var (
		only   = flag.String("row", "", "run these rows only: comma-separated names or their beginnings")
		rounds = flag.Int("n", 0, "rounds (default 5, with -quick 3)")
		quick  = flag.Bool("quick", false, "small sizes: about a minute in all, for a first look")
		md     = flag.Bool("md", false, "print Markdown")
		into   = flag.String("o", "", "also replace the table in this Markdown file")
		dir    = flag.String("dir", os.TempDir(), "folder in which a folder weir-bench is made for generated files")
		keep   = flag.Bool("keep", false, "keep the generated files")
		list   = flag.Bool("list", false, "list the rows")
		limit  = flag.Duration("timeout", 2*time.Minute, "the longest one round of one contender may take")
	)
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *rounds <= 0 {
		*rounds = 5
		if *quick {
			*rounds = 3
		}
	}
	e := &env{dir: filepath.Join(*dir, "weir-bench"), quick: *quick, keep: *keep}
	rows := choose(allRows(e), *only)
	if len(rows) == 0 {
		return fmt.Errorf("no row is called %q: see -list", *only)
	}
	if *list {
		for _, r := range rows {
			fmt.Printf("%-16s %s\n", r.name, r.title)
		}
		return nil
	}
	if err := os.MkdirAll(e.dir, 0o777); err != nil {
		return err
	}
	defer e.cleanup()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	p := &printer{md: *md, w: os.Stdout}
	var kept strings.Builder
	if *into != "" {
		p.copy = &printer{md: true, w: &kept}
	}
	p.head(e, *rounds)
	runner := runner{env: e, rounds: *rounds, limit: *limit, progress: progress(os.Stderr)}
	var all []verdict
	var failed []error
	for _, r := range rows {
		results, err := runner.row(ctx, r)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", r.name, err)
			fmt.Fprintln(os.Stderr, "bench:", err)
			failed = append(failed, err)
			continue
		}
		all = append(all, p.row(r, results)...)
	}
	p.verdicts(all)
	if len(failed) > 0 {
		return fmt.Errorf("%d rows failed, the last with %w", len(failed), failed[len(failed)-1])
	}
	if *into != "" {
		return replaceTable(*into, kept.String())
	}
	return nil
}

// choose returns the rows whose names begin with one of the given.
func choose(rows []row, only string) []row {
	if only == "" {
		return rows
	}
	var chosen []row
	for _, r := range rows {
		for name := range strings.SplitSeq(only, ",") {
			if name != "" && strings.HasPrefix(r.name, name) {
				chosen = append(chosen, r)
				break
			}
		}
	}
	return chosen
}

// progress shows at a terminal what is running now.
func progress(w *os.File) func(string) {
	st, err := w.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return func(string) {}
	}
	return func(s string) { io.WriteString(w, "\r\x1b[K"+s) }
}
