package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// smallDisk returns a folder of a file system with 1 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("weir", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a small file system:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	return dir
}

// No message names a system call or a folder that is not there, or says a thing twice.
func TestMessages_OfAFullDiskSayWhereToFreeSpace(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	for _, c := range []struct{ args, text, try string }{
		{"copy big DISK/", `cannot write DISK/big: no space left on device \(after .* of 3 MiB\)`, "free some space on DISK; the unfinished copy was removed, --keep-partial keeps it"},
		{"copy one DISK/", `cannot write DISK/one/big: no space left on device \(after .* of 3 MiB\)`, "free some space on DISK; the unfinished copy was removed, --keep-partial keeps it"},
		{"copy two DISK/", `cannot write DISK/two/[ab]: no space left on device \(after .* of (at least )?[36] MiB\)`, "free some space on DISK; the unfinished copy was removed, --keep-partial keeps it"},
		{"copy one DISK/new --keep-partial", `cannot write DISK/new/big: no space left on device \(after .* of 3 MiB\); no file was copied to DISK/new; existing files are unchanged`, "free some space, then run the same command with --resume"},
		{"pipe big spool:DISK/flow out", `cannot write spool:DISK/flow: no space left on device \(after .* of 3 MiB\)`, "free some space, then run weir pipe big spool:DISK/flow out, to continue"},
		{"pipe big spool:flow DISK/out", `cannot write DISK/out: no space left on device \(after .* of 3 MiB\)`, "free some space, then run weir pipe big spool:flow DISK/out, to continue"},
		{"pipe big spool:DISK/flow upper rate:1MiB/s /dev/null", `cannot use spool:DISK/flow: no space left on device`, "free some space, or set a smaller maximum, as in spool:DIR,max=1GiB"},
		{"pipe big tee:DISK/copy out", `cannot write DISK/copy: no space left on device \(after .* of 3 MiB\)`, "free some space on DISK; the unfinished copy was removed"},
	} {
		t.Run(c.args, func(t *testing.T) {
			disk, dir := smallDisk(t), t.TempDir()
			t.Chdir(dir)
			for _, name := range []string{"big", "one/big", "two/a", "two/b"} {
				put(t, data, dir, name)
			}
			var stderr bytes.Buffer
			if code := run(words(strings.ReplaceAll(c.args, "DISK", disk)), io.Discard, &stderr); code == exitOK {
				t.Error("it succeeded")
			}
			want := regexp.MustCompile(`(?m)^weir: ` + c.text + `\n  try: ` + regexp.QuoteMeta(c.try) + `\n`)
			if got := strings.ReplaceAll(stderr.String(), disk, "DISK"); !want.MatchString(got) {
				t.Errorf("it said\n%s\nnot\n%s", got, want)
			}
		})
	}
}
