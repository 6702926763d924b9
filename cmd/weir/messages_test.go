package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// outcome is what a command line leads to.
type outcome struct {
	args  string // words separated by spaces
	env   string // NAME=VALUE, or empty
	code  int
	text  string // the whole message
	try   string // the whole advice
	linux bool   // only there
}

// outcomes are the situations in which weir refuses or fails. DIR stands for a
// folder with the files that situations makes.
var outcomes = []outcome{
	// The command line.
	{args: "copi a b", code: 2, text: `unknown command "copi" (did you mean copy?)`, try: "weir copy --help"},
	{args: "foo", code: 2, text: `unknown command "foo"`, try: "weir copy SRC DST, or weir pipe SRC STAGE… DST; weir --help shows more"},
	{args: "foo --help", code: 2, text: `unknown command "foo"`, try: "weir copy SRC DST, or weir pipe SRC STAGE… DST; weir --help shows more"},
	{args: "zips -h", code: 2, text: `unknown command "zips" (did you mean gzip?)`, try: "weir gzip --help"},
	{args: "gzp --version", code: 2, text: `unknown command "gzp" (did you mean gzip?)`, try: "weir gzip --help"},
	{args: "completion bsh --help", code: 2, text: `unknown command "completion bsh" (did you mean bash?)`, try: "weir completion bash --help"},
	{args: "edge --json drop nats://host/logs", code: 2, text: `--json must come after the command "edge drop"`, try: "weir edge drop --json …"},
	{args: "--quiet edge ls", code: 2, text: `--quiet must come after the command "edge ls"`, try: "weir edge ls --quiet"},
	{args: "edge --help drop", code: 2, text: `--help must come after the command "edge drop"`, try: "weir edge drop --help…"},
	{args: "edge --quiet dorp", code: 2, text: `unknown command "edge dorp" (did you mean drop?)`, try: "weir edge drop --help"},
	{args: "edge --quiet", code: 2, text: "unknown flag --quiet", try: "weir edge --help"},
	{args: "completion --no-descriptions bash", code: 2, text: `--no-descriptions must come after the command "completion bash"`, try: "weir completion bash --no-descriptions…"},
	{args: "-q copy a b", code: 2, text: `-q must come after the command "copy"`, try: "weir copy -q …"},
	{args: "-- copy a b", code: 2, text: `-- must come after the command "copy"`, try: "weir copy -- …"},
	{args: "--quiet help copy", code: 2, text: `--quiet must come after the command "help"`, try: "weir help --quiet …"},
	{args: "--version copy", code: 2, text: `--version stands alone, without the command "copy"`, try: "weir --version"},
	{args: "--memory lots copy a b", code: 2, text: `invalid size "lots" for --memory`, try: "--memory 64MiB"},
	{args: "help foo", code: 2, text: `there is no help about "foo"`, try: "weir help"},
	{args: "copy a", code: 2, text: "copy needs at least one source and a destination", try: "weir copy SRC… DST"},
	{args: "pipe a", code: 2, text: "pipe takes a source, stages and a destination, not 1 word", try: "weir pipe SRC STAGE… DST, as in: weir pipe access.log gzip access.log.gz"},
	{args: "pipe a zstd b --level 4", code: 2, text: "unknown flag --level", try: "put it behind the stage that it is for, as in gzip:level=9"},
	{args: "pipe a unzstd b --window 1GiB", code: 2, text: "unknown flag --window", try: "put it behind the stage that it is for, as in unzstd:window=128MiB"},
	{args: "pipe gzip b.gz", code: 3, text: "cannot read gzip: no such file or directory", try: "weir pipe - gzip …, to read standard input"},
	{args: "pipe gzip:level=9 upper b.gz", code: 3, text: "cannot read gzip:level=9: no such file or directory", try: "weir pipe - gzip:level=9 …, to read standard input"},
	{args: "pipe a exec:no-such-command b", code: 1, text: "…", try: "install the command, or give its path, as in exec:./name"},
	{args: "copy a b --zzz", code: 2, text: "unknown flag --zzz", try: "weir copy --help"},
	{args: "serve --port 9", code: 2, text: "unknown flag --port (did you mean --listen?)", try: "--listen 127.0.0.1:8080"},
	{args: "serve --bind 0.0.0.0", code: 2, text: "unknown flag --bind (did you mean --listen?)", try: "--listen 127.0.0.1:8080"},
	{args: "serve -p 9", code: 2, text: "unknown flag -p (did you mean --listen?)", try: "--listen 127.0.0.1:8080"},
	{args: "serve --host 0.0.0.0", code: 2, text: "--host 0.0.0.0 is an address; --host takes names that requests have for this server", try: "--listen :8080, for every address of this machine"},
	{args: "serve --host [::]:80", code: 2, text: "--host [::]:80 is an address; --host takes names that requests have for this server", try: "--listen :8080, for every address of this machine"},
	{args: "serve --root folder", code: 2, text: "unknown flag --root", try: "weir serve DIR"},
	{args: "serve --password x", code: 2, text: "unknown flag --password (did you mean --auth?)", try: "--auth FILE, with lines of weir password NAME"},
	{args: "serve --uplaods x", code: 2, text: "unknown flag --uplaods (did you mean --uploads?)", try: "--uploads"},
	{args: "serve --upload x", code: 2, text: "unknown flag --upload (did you mean --uploads?)", try: "--uploads DIR"},
	{args: "top --port 9", code: 2, text: "unknown flag --port", try: "weir top --help"},
	{args: "top --password x", code: 2, text: "unknown flag --password (did you mean --user?)", try: "--user NAME"},
	{args: "copy a b --bwlimit 1M", code: 2, text: "unknown flag --bwlimit (did you mean --rate?)", try: "--rate 10MiB/s"},
	{args: "copy a b --force", code: 2, text: "unknown flag --force", try: "leave it out; weir copy replaces files unless you add --no-clobber"},
	{args: "copy a b --output c", code: 2, text: "unknown flag --output", try: "weir copy SRC… DST"},
	{args: "copy a b --silent", code: 2, text: "unknown flag --silent (did you mean --quiet?)", try: "--quiet"},
	{args: "copy a b --porgress plain", code: 2, text: "unknown flag --porgress (did you mean --progress?)", try: "--progress"},
	{args: "copy a b --user ann:x", code: 2, text: "unknown flag --user", try: "write the user and the password into the URL: see weir help remote"},
	{args: "pipe a b --limit-rate 1M", code: 2, text: "unknown flag --limit-rate", try: "add the stage rate:10MiB/s"},
	{args: "pipe a zstd b -j 2", code: 2, text: "unknown flag -j", try: "put it behind the stage that it is for, as in gzip:workers=2"},
	{args: "zstd a -o b", code: 2, text: "unknown flag -o (did you mean --stdout?)", try: "--stdout, and redirect it to a file"},
	{args: "gzip a --threads 2", code: 2, text: "unknown flag --threads (did you mean --workers?)", try: "--workers 4"},
	{args: "copy a b --memory", code: 2, text: "--memory needs a value", try: "weir copy --help"},
	{args: "copy a b --quiet=perhaps", code: 2, text: `invalid value "perhaps" for --quiet: use true or false`, try: "--quiet=false"},
	{args: "copy a b --memory lots", code: 2, text: `invalid size "lots" for --memory`, try: "--memory 64MiB"},
	{args: "gzip --level 77 a", code: 2, text: `invalid level "77" for --level: use 0 to 9`, try: "--level 6"},
	{args: "zstd --workers -1 a", code: 2, text: `invalid number "-1" for --workers: use 1 to 1024, or 0 for all cores`, try: "--workers 0"},
	{args: "gzip -S a/b a", code: 2, text: `invalid suffix "a/b" for --suffix: use 1 to 30 characters without a slash`, try: "--suffix .gz"},
	{args: "serve --stall 5", code: 2, text: `invalid duration "5" for --stall: missing unit`, try: "--stall 5s"},
	{args: "password", code: 2, text: "password takes one name, not 0", try: "weir password ann"},
	{args: "version 1", code: 2, text: `version takes no arguments, but got "1"`, try: "weir version"},

	// The environment names the variable.
	{args: "copy a b", env: "WEIR_MEMORY=lots", code: 2, text: `invalid size "lots" for WEIR_MEMORY`, try: "WEIR_MEMORY=64MiB"},
	{args: "copy a b", env: "WEIR_PROGRESS=often", code: 2, text: `invalid value "often" for WEIR_PROGRESS: use auto, live, plain or none`, try: "WEIR_PROGRESS=plain"},
	{args: "copy a b", env: "WEIR_RATE=fast", code: 2, text: `invalid rate "fast" for WEIR_RATE`, try: "WEIR_RATE=10MiB/s"},
	{args: "copy a b", env: "WEIR_VERIFY=maybe", code: 2, text: `invalid value "maybe" for WEIR_VERIFY: use true or false`, try: "unset WEIR_VERIFY"},
	{args: "pipe a zstd b", env: "WEIR_MEMORY=1MiB", code: 5, text: "WEIR_MEMORY=1MiB is too small: this needs at least N MiB", try: "WEIR_MEMORY=NKiB"},
	{args: "gzip a", env: "WEIR_LEVEL=77", code: 2, text: `invalid level "77" for WEIR_LEVEL: use 0 to 9`, try: "WEIR_LEVEL=6"},
	{args: "gzip a", env: "WEIR_LEVEL=high", code: 2, text: `invalid number "high" for WEIR_LEVEL`, try: "unset WEIR_LEVEL"},
	{args: "serve", env: "WEIR_STALL=0s", code: 2, text: "WEIR_STALL=0s would disconnect every client", try: "WEIR_STALL=24h"},
	{args: "serve", env: "WEIR_LISTEN=8080", code: 2, text: "cannot listen on 8080: address 8080: missing port in address (from WEIR_LISTEN)", try: "--listen 127.0.0.1:8080"},
	{args: "serve", env: "WEIR_AUTH=none", code: 2, text: "cannot read the users in none: no such file or directory (from WEIR_AUTH)", try: "weir password NAME >> none"},
	{args: "serve", env: "WEIR_UPLOADS=none", code: 4, text: "cannot store uploads in none: no such file or directory (from WEIR_UPLOADS)", try: "mkdir -p none"},

	// Names and addresses.
	{args: "copy s3:///x b", code: 2, text: "s3:///x: missing bucket", try: "write s3://bucket/key"},
	{args: "copy a s3:///x", code: 2, text: "s3:///x: missing bucket", try: "write s3://bucket/key"},
	{args: "pipe s3://b/x?y=z gzip b", code: 2, text: `s3://b/x: unknown setting "y"`, try: "use anonymous, endpoint, parallel, part-size, profile, region, or write ? in a key as %3F"},
	{args: "pipe a gzip s3://b:80/x", code: 2, text: "s3://b:80/x: port behind the bucket", try: "write the address of a store as ?endpoint=http://b:80"},
	{args: "copy s3://b/x?parallel=0 b", code: 2, text: `s3://b/x: invalid value "0" for parallel`, try: "write a number from 1 to 64"},
	{args: "copy s3://b/ s3://c/", code: 2, text: "s3://b/ is a folder of an object store and needs a local folder on the other side, not s3://c/", try: "weir copy s3://bucket/prefix/ DIR"},
	{args: "serve --store s3://", code: 3, text: "cannot use the store: s3:///: missing bucket", try: "write s3://bucket/key"},
	{args: "pipe nats://h gzip b", code: 2, text: "nats://h: missing name of the edge", try: "write nats://h/NAME"},
	{args: "copy a nats://h/a.b", code: 2, text: "nats://h/a.b: invalid name of an edge", try: "use up to 200 letters, digits, and -_=+"},
	{args: "edge drop nats://h/x?y=z", code: 2, text: `nats://h/x: unknown setting "y"`, try: "use max or stall"},
	{args: "copy gopher://x b", code: 2, text: "unknown scheme gopher://", try: "use file, http, https, nats, s3, tls, or ./ in front of a file of that name"},
	{args: "copy file://host/x b", code: 2, text: "file://host/x is on another machine", try: "write a local file as file:///path"},
	{args: "pipe a tee:gopher://x b", code: 2, text: "unknown scheme gopher://", try: "use file, http, https, nats, s3, tls, or ./ in front of a file of that name"},
	{args: "copy http://127.0.0.1:1/x b", code: 3, text: "cannot read http://127.0.0.1:1/x: dial tcp 127.0.0.1:1: …", try: "check host and port: nothing listens on 127.0.0.1:1"},
	{args: "copy nats://127.0.0.1:1/e b", code: 3, text: "cannot read nats://127.0.0.1:1/e: dial tcp 127.0.0.1:1: …", try: "check host and port: nothing listens on 127.0.0.1:1; docs/scale.md says how to start a server"},
	{args: "pipe nats://127.0.0.1:1/e b", code: 3, text: "cannot read nats://127.0.0.1:1/e: dial tcp 127.0.0.1:1: …", try: "check host and port: nothing listens on 127.0.0.1:1; docs/scale.md says how to start a server"},
	{args: "pipe a nats://127.0.0.1:1/e", code: 4, text: "cannot write nats://127.0.0.1:1/e: dial tcp 127.0.0.1:1: …", try: "check host and port: nothing listens on 127.0.0.1:1; docs/scale.md says how to start a server"},
	{args: "copy s3://logs/x?endpoint=http://127.0.0.1:1&region=x&anonymous=true b", code: 3, text: "cannot read s3://logs/x: …", try: "check AWS_ENDPOINT_URL or ?endpoint=: nothing listens on 127.0.0.1:1"},
	{args: "copy http://no-such-host.invalid/x b", code: 3, text: "cannot read http://no-such-host.invalid/x: …", try: "check the host name: no-such-host.invalid does not resolve"},
	{args: "copy s3://logs/x?endpoint=http://no-such-host.invalid&region=x&anonymous=true b", code: 3, text: "cannot read s3://logs/x: …", try: "check AWS_ENDPOINT_URL or ?endpoint=: no-such-host.invalid does not resolve"},
	{args: "edge ls nats://127.0.0.1:1", code: 1, text: "connect nats://127.0.0.1:1: dial tcp 127.0.0.1:1: …", try: "check host and port: nothing listens on 127.0.0.1:1; docs/scale.md says how to start a server"},
	{args: "top :1", code: 3, text: "cannot look at http://127.0.0.1:1/_weir/: connection refused", try: "check host and port: nothing listens on 127.0.0.1:1", linux: true},
	{args: "serve --listen localhost:99999", code: 2, text: "cannot listen on localhost:99999: address 99999: invalid port", try: "--listen 127.0.0.1:8080"},
	{args: "serve --listen 127.0.0.1", code: 2, text: "cannot listen on 127.0.0.1: address 127.0.0.1: missing port in address", try: "--listen 127.0.0.1:8080"},
	{args: "serve --listen 8999", code: 2, text: "cannot listen on 8999: address 8999: missing port in address", try: "--listen 127.0.0.1:8999"},
	{args: "serve --listen 192.0.2.1:80", code: 4, text: "cannot listen on 192.0.2.1:80: cannot assign requested address", try: "--listen :8080, for every address of this machine", linux: true},

	// The source.
	{args: "copy none b", code: 3, text: "cannot read none: no such file or directory", try: "ls ."},
	{args: "copy broken.zg b", code: 3, text: "cannot read broken.zg: no such file or directory", try: "broken.gz"},
	{args: "pipe ./brokn.gz gunzip b", code: 3, text: "cannot read ./brokn.gz: no such file or directory", try: "./broken.gz"},
	{args: "gzip broken.gx", code: 3, text: "cannot read broken.gx: no such file or directory", try: "broken.gz"},
	{args: "serve foldr", code: 3, text: "cannot serve foldr: no such file or directory", try: "folder"},
	{args: "copy no/such/file b", code: 3, text: "cannot read no/such/file: no such file or directory", try: "ls ."},
	{args: "pipe folder gzip b", code: 3, text: "cannot read folder: is a directory", try: "tar -c folder | weir pipe - gzip folder.tar.gz"},
	{args: "gzip none", code: 3, text: "cannot read none: no such file or directory", try: "ls ."},
	{args: "serve none", code: 3, text: "cannot serve none: no such file or directory", try: "ls ."},
	{args: "serve no/such/folder", code: 3, text: "cannot serve no/such/folder: no such file or directory", try: "ls ."},
	{args: "serve a", code: 3, text: "cannot serve a: not a directory", try: "weir serve ."},
	{args: "serve folder/x", code: 3, text: "cannot serve folder/x: not a directory", try: "weir serve folder"},
	{args: "serve folder/x/y", code: 3, text: "cannot serve folder/x/y: not a directory", try: "weir serve folder", linux: true},
	{args: "serve --uploads folder/x", code: 4, text: "cannot store uploads in folder/x: not a folder", try: "--uploads folder"},

	// URLs where there can be none, and without a slash.
	{args: "serve s3://logs", code: 3, text: "cannot serve s3://logs: not a folder", try: "--store s3://logs"},
	{args: "serve s3:/logs", code: 3, text: "cannot serve s3:/logs: not a folder", try: "--store s3://logs"},
	{args: "serve http://h/x", code: 3, text: "cannot serve http://h/x: not a folder", try: "weir serve DIR"},
	{args: "serve --store s3:/logs", code: 2, text: `s3:/logs is not a URL (did you mean "s3://logs"?)`, try: "--store s3://logs"},
	{args: "serve --uploads s3://b/c", code: 4, text: "cannot store uploads in s3://b/c: not a folder", try: "--store s3://bucket/prefix --uploads inbox, for uploads to an object store"},
	{args: "gzip s3://b/c", code: 3, text: "cannot read s3://b/c: weir gzip takes files", try: "weir pipe s3://b/c gzip DST"},
	{args: "zstd -d http:/h/x", code: 3, text: "cannot read http:/h/x: weir zstd takes files", try: "weir pipe http://h/x unzstd DST"},
	{args: "copy s3:/logs/x b", code: 2, text: `s3:/logs/x is not a URL (did you mean "s3://logs/x"?)`, try: "s3://logs/x"},
	{args: "copy s3:logs/x b", code: 2, text: `s3:logs/x is not a URL (did you mean "s3://logs/x"?)`, try: "s3://logs/x"},
	{args: "copy a s3:/logs/x", code: 2, text: `s3:/logs/x is not a URL (did you mean "s3://logs/x"?)`, try: "s3://logs/x"},
	{args: "copy a c s3:/logs/", code: 2, text: `s3:/logs/ is not a URL (did you mean "s3://logs/"?)`, try: "s3://logs/"},
	{args: "copy folder s3:/logs/", code: 2, text: `s3:/logs/ is not a URL (did you mean "s3://logs/"?)`, try: "s3://logs/"},
	{args: "copy HTTPS:/ann:secret@h/x?sig=1 b", code: 2, text: `HTTPS:/h/x?… is not a URL (did you mean "https://h/x?…"?)`, try: "'https://h/x?…'"},
	{args: "copy s3:ann:secret@h/x b", code: 2, text: `s3:h/x is not a URL (did you mean "s3://h/x"?)`, try: "s3://h/x"},
	{args: "copy file:/no/such b", code: 2, text: `file:/no/such is not a URL (did you mean "file:///no/such"?)`, try: "file:///no/such"},
	{args: "copy x:/h b", code: 3, text: "cannot read x:/h: no such file or directory", try: "ls ."},
	{args: "pipe nats:/h/x gzip b", code: 2, text: `nats:/h/x is not a URL (did you mean "nats://h/x"?)`, try: "nats://h/x"},
	{args: "pipe a gzip http:/h/x", code: 2, text: `http:/h/x is not a URL (did you mean "http://h/x"?)`, try: "http://h/x"},
	{args: "pipe a tee:tls:/h/x b", code: 2, text: `tls:/h/x is not a URL (did you mean "tls://h/x"?)`, try: "tls://h/x"},
	{args: "edge info nats:/h/x", code: 2, text: `nats:/h/x is not a URL (did you mean "nats://h/x"?)`, try: "nats://h/x"},
	{args: "edge ls nats:/h", code: 2, text: `nats:/h is not a URL (did you mean "nats://h"?)`, try: "nats://h"},
	{args: "top http:/127.0.0.1:1", code: 2, text: `http:/127.0.0.1:1 is not a URL (did you mean "http://127.0.0.1:1"?)`, try: "http://127.0.0.1:1"},

	// The destination.
	{args: "copy a none/b", code: 4, text: "cannot write none/b: no such file or directory", try: "mkdir -p none"},
	{args: "copy a 'no way'/b", code: 4, text: "cannot write no way/b: no such file or directory", try: "mkdir -p 'no way'"},
	{args: "pipe a gzip folder", code: 4, text: "cannot write folder: is a directory", try: "folder/a"},
	{args: "copy a /dev/full", code: 4, text: "cannot write /dev/full: no space left on device", try: "use another destination; /dev/full is full", linux: true},

	// The compression commands say what the user called them.
	{args: "gunzip broken.gz", code: 1, text: "gunzip of broken.gz failed: …", try: "get another copy of broken.gz; nothing was written"},
	{args: "gzip -d broken.gz", code: 1, text: "gzip -d of broken.gz failed: …", try: "get another copy of broken.gz; nothing was written"},
	{args: "gzip -t broken.gz", code: 1, text: "gzip -t of broken.gz failed: …", try: "get another copy of broken.gz"},
	{args: "gunzip -l broken.gz", code: 1, text: "gunzip -l of broken.gz failed: …", try: "get another copy of broken.gz"},
	{args: "gunzip -c broken.gz", code: 1, text: "gunzip of broken.gz failed: …", try: "get another copy of broken.gz; standard output has what came before the damage"},
	{args: "unzstd broken.zst", code: 1, text: "unzstd of broken.zst failed: …", try: "get another copy of broken.zst; nothing was written"},
	{args: "zstd -d broken.zst", code: 1, text: "zstd -d of broken.zst failed: …", try: "get another copy of broken.zst; nothing was written"},
	{args: "gunzip text.gz", code: 1, text: "gunzip of text.gz failed: not in gzip format", try: "file text.gz; nothing was written"},
	{args: "gunzip empty.gz", code: 1, text: "gunzip of empty.gz failed: empty input, not in gzip format"},
	{args: "unzstd text.zst", code: 1, text: "unzstd of text.zst failed: not in zstd format", try: "file text.zst; nothing was written"},
	{args: "zstd -t text.zst", code: 1, text: "zstd -t of text.zst failed: not in zstd format", try: "file text.zst"},
	{args: "gunzip text.foo", code: 2, text: "text.foo does not end in .gz, so there is no name for the result", try: "--suffix .foo, or weir pipe text.foo gunzip DST"},
	{args: "copy a c/d", code: 4, text: "cannot write c/d: c is a file", try: "use another destination, or: mv c c.old", linux: true},
	{args: "copy a c/", code: 4, text: "cannot write c/a: c is a file", try: "use another destination, or: mv c c.old", linux: true},
	{args: "pipe a gzip c/d/e", code: 4, text: "cannot write c/d/e: c is a file", try: "use another destination, or: mv c c.old", linux: true},
	{args: "copy folder a", code: 4, text: "cannot write a: name is taken by a file", try: "use another destination, or: mv a a.old"},
	{args: "copy folder a --resume", code: 4, text: "cannot write a: name is taken by a file", try: "use another destination, or: mv a a.old"},
	{args: "copy folder nope/b --resume", code: 4, text: "cannot write nope/b: no such file or directory", try: "mkdir -p nope"},
	{args: "copy a nope/b --resume", code: 4, text: "cannot write nope/b: no such file or directory", try: "mkdir -p nope"},
	{args: "copy a part --resume", code: 2, text: "part.weir-part is a part of /else, not of a", try: "rm part.weir-part"},
	{args: "copy a c folder/x", code: 2, text: "folder/x is not a folder, so it cannot take 2 sources", try: "use another destination; folder/x is a file"},
	{args: "gunzip a", code: 2, text: "a does not end in .gz, so there is no name for the result", try: "weir pipe a gunzip DST"},
	{args: "gzip done.gz", code: 2, text: "done.gz has the suffix .gz already", try: "--force, to compress it once more"},
	{args: "gzip c", code: 2, text: "c.gz exists already, so c was skipped", try: "--force, to replace it"},
	{args: "gzip folder", code: 2, text: "folder is a folder and was skipped", try: "--recursive, or: tar -c folder | weir gzip > folder.tar.gz"},
	{args: "gunzip folder", code: 2, text: "folder is a folder and was skipped", try: "--recursive"},
	{args: "gzip /dev/null", code: 2, text: "/dev/null is a device and was skipped", try: "--stdout", linux: true},
	{args: "gunzip old.Z", code: 1, text: "old.Z is in compress format (.Z, LZW), which weir gunzip does not read", try: "gzip -dc old.Z"},
	{args: "gunzip zip.gz", code: 1, text: "zip.gz is a zip archive, which weir gunzip does not read", try: "unzip zip.gz"},
	{args: "gzip -d other.gz", code: 1, text: "other.gz is in zstd format, which weir gzip -d does not read", try: "weir unzstd other.gz"},
	{args: "unzstd other.zst", code: 1, text: "other.zst is in gzip format, which weir unzstd does not read", try: "weir gunzip other.zst"},
}

// situations makes the files of outcomes and goes to their folder.
func situations(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"a": "hello\n", "c": "hello\n", "c.gz": "old", "done.gz": "x", "folder/x": "x",
		"broken.gz": "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff", "broken.zst": "\x28\xb5\x2f\xfd\x00\x00\xff\xff\xff\xff",
		"text.gz": "not compressed", "text.zst": "not compressed", "text.foo": "x", "empty.gz": "",
		"part.weir-part": "hel", "part.weir-part.json": `{"source":"/else","validator":"1 2 3"}`,
		"old.Z": "\x1f\x9d\x90hello", "zip.gz": "PK\x03\x04", "other.gz": "\x28\xb5\x2f\xfd\x00", "other.zst": "\x1f\x8b\x08\x00",
	} {
		put(t, []byte(content), dir, name)
	}
	t.Chdir(dir)
}

// words splits a command line; quotes keep a space.
func words(line string) (list []string) {
	for _, w := range regexp.MustCompile(`(?:'[^']*'|[^\s'])+`).FindAllString(line, -1) {
		list = append(list, strings.ReplaceAll(w, "'", ""))
	}
	return list
}

var numbers = regexp.MustCompile(`\d+(\.\d+)?( [MK]iB|KiB)`)

// said reports whether the message got matches want, which can end with … and
// have N for a size that depends on the machine.
func (o outcome) said(got, want string) bool {
	if begin, ok := strings.CutSuffix(want, "…"); ok {
		return strings.HasPrefix(got, begin)
	}
	if strings.Contains(want, "N MiB") || strings.Contains(want, "NKiB") {
		got = numbers.ReplaceAllStringFunc(got, func(s string) string {
			if s == "1MiB" {
				return s
			}
			return regexp.MustCompile(`[\d.]+`).ReplaceAllString(s, "N")
		})
	}
	return got == want
}

func TestMessages_SayWhatIsWrongAndWhatToDo(t *testing.T) {
	for _, o := range outcomes {
		t.Run(o.env+" "+o.args, func(t *testing.T) {
			if o.linux && runtime.GOOS != "linux" {
				t.Skip("it is about " + runtime.GOOS)
			}
			if slices.Contains(words(o.args), "--json") {
				return // TestMessages_AreLinesOfJSONWhereThatIsWanted has it
			}
			situations(t)
			if name, value, ok := strings.Cut(o.env, "="); ok {
				t.Setenv(name, value)
			}
			var stderr bytes.Buffer
			if code := run(words(o.args), io.Discard, &stderr); code != o.code {
				t.Errorf("exit code %d, want %d", code, o.code)
			}
			m := regexp.MustCompile(`(?m)^weir: (.*)\n(?:  try: (.*)\n)?`).FindStringSubmatch(stderr.String())
			if m == nil || !o.said(m[1], o.text) || !o.said(m[2], o.try) {
				t.Errorf("it said\n%s\nnot\nweir: %s\n  try: %s", &stderr, o.text, o.try)
			}
		})
	}
}

func TestMessages_AreLinesOfJSONWhereThatIsWanted(t *testing.T) {
	for _, o := range outcomes {
		for _, inEnvironment := range []bool{false, true} {
			t.Run(o.env+" "+o.args, func(t *testing.T) {
				if o.linux && runtime.GOOS != "linux" {
					t.Skip("it is about " + runtime.GOOS)
				}
				situations(t)
				if name, value, ok := strings.Cut(o.env, "="); ok {
					t.Setenv(name, value)
				}
				args := words(o.args)
				if inEnvironment || strings.HasPrefix(args[0], "-") {
					t.Setenv("WEIR_JSON", "true")
				} else if args = append([]string{args[0], "--json"}, args[1:]...); args[0] == "password" || args[0] == "help" || args[0] == "completion" || args[0] == "edge" || args[0] == "foo" || args[0] == "zips" || args[0] == "gzp" || args[0] == "copi" {
					args = append(append([]string{}, args[0]), append(args[2:], "--json")...)
				}
				var stderr bytes.Buffer
				code := run(args, io.Discard, &stderr)
				found := false
				for line := range strings.Lines(stderr.String()) {
					var got struct {
						V    int    `json:"v"`
						Type string `json:"type"`
						Text string `json:"text"`
						Try  string `json:"try"`
						Code int    `json:"code"`
					}
					if err := json.Unmarshal([]byte(line), &got); err != nil || got.V != 1 || got.Type == "" {
						t.Errorf("%q is no line of JSON: %v", line, err)
					}
					if got.Type != "error" {
						continue
					}
					found = true
					if got.Code != code {
						t.Errorf("the exit code is %d, and the line says %d", code, got.Code)
					}
					if args[0] == "password" || args[0] == "help" {
						continue // the first error is that they have no --json
					}
					if !o.said(got.Text, o.text) || !o.said(got.Try, o.try) {
						t.Errorf("it said\n%s\nnot\n%s\n%s", line, o.text, o.try)
					}
				}
				if !found {
					t.Errorf("no error in\n%s", &stderr)
				}
			})
		}
	}
}

// Every suggestion is a flag that some command has, or is about commands that lack the name.
func TestFlags_OfOtherProgramsLeadToThoseOfWeir(t *testing.T) {
	t.Parallel()
	commands := newRoot(io.Discard, io.Discard, io.Discard).Commands()
	for _, o := range otherFlags {
		for _, name := range strings.Fields(o.names) {
			suggested := 0
			for _, c := range commands {
				if inPlaceOf(c, name) != o.try {
					continue
				}
				known := c.Flags().Lookup(strings.TrimPrefix(name, "--")) != nil
				if len(name) == 2 {
					known = c.Flags().ShorthandLookup(name[1:]) != nil
				}
				if !known {
					suggested++
				}
			}
			if suggested == 0 {
				t.Errorf("nothing suggests %q for %s", o.try, name)
			}
		}
	}
}

func TestMessages_AServerThatWantsAPasswordLeadsToTheHelp(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer server.Close()
	t.Chdir(t.TempDir())
	var stderr bytes.Buffer
	code := run([]string{"copy", server.URL + "/x", "y"}, io.Discard, &stderr)
	if want := "weir: cannot read " + server.URL + "/x: 401 Unauthorized\n  try: " + inURL + "\n"; code != exitSource || stderr.String() != want {
		t.Errorf("exit code %d, it said\n%s\nnot\n%s", code, &stderr, want)
	}
}

// A file is a file, whatever its name looks like.
func TestNames_LikeAURLWithoutASlashCanBeFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no name has a colon there")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, []byte("text"), dir, "s3:", "logs", "x")
	for _, line := range []string{
		"copy s3:/logs/x plain", "copy plain s3:/logs/y", "pipe s3:/logs/y upper s3:/logs/z", "copy plain https:file", "pipe plain tee:s3:/logs/tee nats:file", "copy s3:/logs https:folder", "gzip s3:/logs/x",
	} {
		var stderr bytes.Buffer
		if code := run(words(line), io.Discard, &stderr); code != exitOK {
			t.Errorf("%s: exit code %d, %s", line, code, &stderr)
		}
	}
}

func TestMessages_WhatSucceedsIsAlsoJSON(t *testing.T) {
	for _, line := range []string{
		"copy a b --json", "copy a b --json -v", "copy a b --json --dry-run", "pipe a sha256 gzip b --json -v", "pipe a tee:c b --json --explain",
		"gzip a --json -f", "gzip a none done.gz --json --dry-run", "zstd a --json -v", "copy folder b --json -v",
	} {
		situations(t)
		var stderr bytes.Buffer
		run(words(line), io.Discard, &stderr)
		for l := range strings.Lines(stderr.String()) {
			if !json.Valid([]byte(l)) || !strings.Contains(l, `"v":1`) {
				t.Errorf("%s: %q is no line of JSON", line, l)
			}
		}
		if stderr.Len() == 0 {
			t.Errorf("%s said nothing", line)
		}
	}
}

// A flag that the environment has set is never blamed by its name, whichever it is.
func TestMessages_EveryVariableWithABadValueIsNamed(t *testing.T) {
	for _, c := range newRoot(io.Discard, io.Discard, io.Discard).Commands() {
		if c.Flags().Lookup("dry-run") == nil && c.Name() != "serve" {
			continue
		}
		for _, name := range []string{"memory", "progress", "rate", "level", "workers", "stall", "grace", "queue", "max-conns", "conn-rate", "min-rate", "max-size", "quota", "listen", "tls-cert", "auth", "cors", "quiet", "json"} {
			if c.Flags().Lookup(name) == nil {
				continue
			}
			situations(t)
			variable := environmentName(name)
			t.Setenv(variable, "#?!")
			var stderr bytes.Buffer
			code := run([]string{c.Name(), "a", "b"}[:map[bool]int{true: 1, false: 3}[c.Name() == "serve"]], io.Discard, &stderr)
			if code == exitOK || !strings.Contains(stderr.String(), variable) || strings.Contains(stderr.String(), "weir: --"+name) {
				t.Errorf("weir %s with a bad %s: exit code %d, %s", c.Name(), variable, code, &stderr)
			}
			os.Unsetenv(variable)
		}
	}
}

func TestMessages_AdviceIsOneWordForAShell(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a/b.log": "a/b.log", "日本語": "日本語", "two words": "'two words'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'", "a;b": "'a;b'",
	} {
		if got := quoted(name); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
	if dir := t.TempDir(); nearest(filepath.Join(dir, "a", "b", "c")) != dir {
		t.Errorf("the nearest folder is %s", nearest(filepath.Join(dir, "a", "b", "c")))
	}
}

func TestMessages_APanicIsALineOfJSONToo(t *testing.T) {
	t.Parallel()
	root := newRoot(io.Discard, io.Discard, io.Discard)
	c := &cobra.Command{Use: "panics", RunE: func(*cobra.Command, []string) error { panic("out of order") }}
	c.Flags().Bool("json", false, "")
	root.AddCommand(c)
	var stderr bytes.Buffer
	code := runRoot(root, &checkedWriter{to: io.Discard}, []string{"panics", "--json"}, &stderr)
	if code != exitFailed || !json.Valid(stderr.Bytes()) || !strings.Contains(stderr.String(), `"text":"internal error: out of order"`) {
		t.Errorf("exit code %d, %s", code, &stderr)
	}
	defer func() {
		if p := recover(); p != "out of order" {
			t.Errorf("without --json it panicked with %v", p)
		}
	}()
	_ = c.Flags().Set("json", "false")
	runRoot(root, &checkedWriter{to: io.Discard}, []string{"panics"}, &stderr)
}

// What succeeds says nothing, or one line, where standard error is no terminal.
func TestMessages_OfSuccessAreShort(t *testing.T) {
	for line, want := range map[string]string{
		"gzip a": "^$", "gzip -k c -f": "^$", "zstd a": "^$", "gzip -t good.gz": "^$", "gunzip -c good.gz": "^$", "gunzip good.gz": "^$", "gzip -l good.gz": "^$",
		"gzip a --progress none": "^$", "gzip a --progress plain": "(?s)^memory ceiling .*^compressed 6 B to .*^bottleneck: .*^memory: ", "gzip -v a": "(?s)^lane 1 .*^compressed 6 B",
		"copy a b": "^copied 6 B in [^\n]*\n$", "copy a c b-folder/": "^copied 12 B in [^\n]*\n$", "pipe a gzip b": "^piped 6 B to [^\n]*\n$",
		"pipe a count b": "^piped 6 B in [^\n]*\n1 line, 6 bytes\n$", "copy -q a b": "^$", "copy --progress none a b": "^copied [^\n]*\n$",
	} {
		situations(t)
		put(t, nil, "b-folder", "x")
		var stderr bytes.Buffer
		if code := run([]string{"pipe", "a", "gzip", "good.gz", "-q"}, io.Discard, &stderr); code != exitOK {
			t.Fatal(code, &stderr)
		}
		if code := run(words(line), io.Discard, &stderr); code != exitOK || !regexp.MustCompile("(?m)"+want).MatchString(stderr.String()) ||
			want == "^$" && stderr.Len() > 0 {
			t.Errorf("%s: exit code %d, it said\n%s", line, code, &stderr)
		}
	}
}
