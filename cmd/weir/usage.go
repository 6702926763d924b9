package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage returns an error of the command line that advises to read the help.
func usage(text string) *failure { return &failure{code: exitUsage, text: text, try: "weir --help"} }

// misuse returns an error that advises to read the help of the command c.
func misuse(c *cobra.Command, text string) *failure {
	return &failure{code: exitUsage, text: text, try: c.CommandPath() + " --help"}
}

// wrongFlag rewrites an error of the flag parser in weir's style.
func wrongFlag(c *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &value):
		f := value.GetFlag()
		text, try := badValue(f, value.GetValue(), "--"+f.Name)
		return &failure{code: exitUsage, text: text, try: "--" + f.Name + try}
	case errors.As(err, &missing):
		return misuse(c, "--"+missing.GetFlag().Name+" needs a value")
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return unknownFlag(c, "--"+unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return unknownFlag(c, "-"+unknown.GetSpecifiedName())
	}
	return misuse(c, err.Error())
}

// invalid returns the error for a value of a flag. kind says what the value should be,
// as in "rate", more which values are valid, and try is one of these.
func invalid(kind string, value any, flag, more, try string) *failure {
	text := fmt.Sprintf("invalid %s %q for --%s", kind, fmt.Sprint(value), flag)
	if more != "" {
		text += ": " + more
	}
	return &failure{code: exitUsage, text: text, try: "--" + flag + " " + try}
}

// badValue returns a complaint about a value that the flag parser refused, and a value
// to try instead. name is the flag or the variable that has the value.
func badValue(f *pflag.Flag, value, name string) (text, try string) {
	kind, more, try := "value", "", " "+f.DefValue
	switch f.Value.Type() {
	case "duration":
		kind, try = "duration", " 10s"
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			more, try = ": missing unit", " "+value+"s"
		}
	case "int":
		kind, try = "number", " 4"
	case "bool":
		more, try = ": use true or false", "=false"
	}
	return fmt.Sprintf("invalid %s %q for %s%s", kind, value, name, more), try
}

// unknownFlag returns an error that suggests what weir has in place of the flag, or a flag
// of a similar name.
func unknownFlag(c *cobra.Command, name string) *failure {
	f := misuse(c, "unknown flag "+name)
	if try := inPlaceOf(c, name); try != "" {
		f.try = try
	} else if best := similarFlag(c, name); best != "" {
		f.try = best
	}
	if best, _, _ := strings.Cut(f.try, " "); strings.HasPrefix(best, "--") {
		f.text += fmt.Sprintf(" (did you mean %s?)", strings.TrimSuffix(best, ","))
	}
	return f
}

// similarFlag returns the flag of c with the most similar name, or "". Of a short name only
// one letter can be wrong, and it is not the first: --port is no typo of --cors or
// --sort.
func similarFlag(c *cobra.Command, name string) string {
	typed, long := strings.CutPrefix(name, "--")
	if !long || len(typed) < 2 {
		return ""
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		near := strings.Contains(f.Name[:min(2, len(f.Name))], typed[:1]) || strings.Contains(typed[:2], f.Name[:1])
		if near && distance(typed, f.Name) <= max(1, max(len(typed), len(f.Name))/3) {
			names = append(names, f.Name)
		}
	})
	if best := closest(typed, names); best != "" {
		return "--" + best
	}
	return ""
}

// inPlaceOf returns what the command c has in place of a flag of other programs, or "".
func inPlaceOf(c *cobra.Command, name string) string {
	for _, o := range otherFlags {
		if !slices.Contains(strings.Fields(o.names), name) {
			continue
		}
		flag, _, _ := strings.Cut(strings.TrimPrefix(o.try, "--"), " ")
		if o.commands == "" && c.Flags().Lookup(strings.TrimSuffix(flag, ",")) != nil || slices.Contains(strings.Fields(o.commands), c.Name()) {
			return o.try
		}
	}
	return ""
}

// inURL is the advice about a password for a server. An example would be redacted.
const inURL = "write the user and the password into the URL: see weir help remote"

// otherFlags are flags that curl, rsync, gzip and file servers have, and what weir has in
// their place: a flag, in the commands that have it, or something else in these commands.
var otherFlags = []struct{ names, commands, try string }{
	{"--port --bind --addr --address --listen-address -p -b", "", "--listen 127.0.0.1:8080"},
	{"--root --dir --directory --folder --path -d", "serve", "weir serve DIR"},
	{"--upload --upload-dir --allow-upload --writable", "", "--uploads DIR"},
	{"--user --users --username --password --passwd --htpasswd --basic-auth -u", "", "--auth FILE, with lines of weir password NAME"},
	{"--auth --password --username -u", "", "--user NAME"},
	{"--auth --user --username --password -u", "copy pipe", inURL},
	{"--cert --certificate --ssl-cert --cert-file", "", "--tls-cert FILE"},
	{"--key --private-key --ssl-key --key-file", "", "--tls-key FILE"},
	{"--tls --ssl --https", "", "--tls-self-signed"},
	{"--ca --ca-bundle --ca-cert --ca-certificate", "", "--cacert FILE"},
	{"--no-check-certificate --no-verify --skip-verify -k", "", "--insecure"},
	{"--follow --follow-symlinks --follow-links", "", "--symlinks"},
	{"--all --dotfiles --hidden-files -a", "", "--hidden"},
	{"--timeout --idle-timeout", "", "--stall 60s"},
	{"--max-upload-size --max-file-size --max-body-size", "", "--max-size 10GiB"},
	{"--log --log-requests --verbose -v", "", "--access-log"},
	{"--force --replace -f", "", "--overwrite"},
	{"--bwlimit --limit-rate --limit --max-rate --rate-limit --bandwidth --throttle", "", "--rate 10MiB/s"},
	{"--bwlimit --limit-rate --limit --max-rate --rate-limit --bandwidth --throttle --rate", "pipe", "add the stage rate:10MiB/s"},
	{"--timeout --max-time", "pipe", "add the stage timeout:30s"},
	{"--buffer --buffer-size", "pipe", "add the stage buffer:64MiB"},
	{"--level", "pipe", "put it behind the stage that it is for, as in gzip:level=9"},
	{"--members", "pipe", "put it behind the stage that it is for, as in gzip:members=yes"},
	{"--window", "pipe", "put it behind the stage that it is for, as in unzstd:window=128MiB"},
	{"--workers --threads --jobs --parallel --processes --cores -j", "pipe", "put it behind the stage that it is for, as in gzip:workers=2"},
	{"--threads --jobs --parallel --processes --cores -j -p -T", "", "--workers 4"},
	{"--mem --max-memory --memory-limit --ram -m", "", "--memory 64MiB"},
	{"--output --out --output-file -o", "copy", "weir copy SRC… DST"},
	{"--output --out --output-file -o", "pipe", "weir pipe SRC STAGE… DST"},
	{"--output --out --output-file -o", "gzip gunzip zstd unzstd", "--stdout, and redirect it to a file"},
	{"--output --out --output-file -o", "", "--report FILE"},
	{"--to-stdout", "", "--stdout"},
	{"--remove --remove-source --delete", "", "--rm"},
	{"--show-progress --status --bar", "", "--progress live"},
	{"--no-progress --no-progress-meter", "", "--progress none"},
	{"--silent -s", "", "--quiet"},
	{"--simulate --plan --dryrun --just-print", "", "--dry-run"},
	{"--archive --times --perms --permissions -a", "", "--preserve"},
	{"--continue --append -c", "", "--resume"},
	{"--partial", "", "--keep-partial"},
	{"--ignore-existing --no-overwrite --skip-existing", "", "--no-clobber"},
	{"--force --overwrite --replace -f", "copy", "leave it out; weir copy replaces files unless you add --no-clobber"},
	{"--mirror --prune --delete-after --delete-before", "", "--delete"},
	{"--duration --interval --time -d", "", "--for 10s"},
}

// one checks that a command gets one argument of this kind.
func one(what, try string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return &failure{code: exitUsage, text: fmt.Sprintf("%s takes one %s, not %d", c.Name(), what, len(args)), try: try}
	}
}

// noArgs checks that a command gets no arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &failure{code: exitUsage, text: fmt.Sprintf("%s takes no arguments, but got %q", c.Name(), strings.Join(args, " ")), try: c.CommandPath()}
}
