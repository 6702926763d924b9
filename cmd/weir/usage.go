package main

import (
	"errors"
	"fmt"
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
		return misuse(c, "unknown flag -"+unknown.GetSpecifiedName())
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

// unknownFlag returns an error that suggests a flag of a similar name.
func unknownFlag(c *cobra.Command, name string) *failure {
	f := misuse(c, "unknown flag "+name)
	var names []string
	c.Flags().VisitAll(func(fl *pflag.Flag) { names = append(names, "--"+fl.Name) })
	if best := closest(name, names); best != "" {
		f.text += fmt.Sprintf(" (did you mean %s?)", best)
		f.try = best
	} else if stage := stageSettings[name]; c.Name() == "pipe" && stage != "" {
		f.try = "put it behind the stage that it is for, as in " + stage
	}
	return f
}

// stageSettings are flags of the compression commands that weir pipe has as settings of its
// stages.
var stageSettings = map[string]string{
	"--level": "gzip:level=9", "--members": "gzip:members=yes", "--window": "unzstd:window=128MiB", "--workers": "gzip:workers=2",
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
