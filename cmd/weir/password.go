package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-go/weir/weirhttp/auth"
)

// newPassword makes lines for the file of --auth.
func newPassword(stdout, stderr io.Writer) *cobra.Command {
	rights := "rw"
	c := &cobra.Command{
		Use:   "password NAME",
		Short: "Make a user entry for weir serve --auth",
		Long: `Ask for a password, or read it from standard input, and print a line for the
file of weir serve --auth: the name, the argon2id hash of the password, and the
rights. At a terminal weir asks for the password twice.`,
		Example: "  weir password ann >> users.txt\n  weir password guest --rights r >> users.txt",
		Args:    one("name", "weir password ann"),
		RunE: func(_ *cobra.Command, args []string) error {
			if rights != "r" && rights != "w" && rights != "rw" {
				return invalid("value", rights, "rights", "use r, w or rw", "r")
			}
			if err := checkName(args[0]); err != nil {
				return err
			}
			password, err := readPassword(stderr)
			if err != nil {
				return &failure{code: exitSource, text: "cannot read the password: " + err.Error(), try: "weir password " + args[0] + ", and type it once more"}
			}
			hash, err := auth.Hash(password)
			if err != nil {
				return &failure{code: exitFailed, text: err.Error()}
			}
			line := args[0] + ":" + hash + ":" + rights
			if _, err := auth.Parse(strings.NewReader(line)); err != nil {
				return &failure{code: exitUsage, text: strings.TrimPrefix(err.Error(), "auth: line 1: "), try: "weir password ann"}
			}
			_, err = fmt.Fprintln(stdout, line)
			return err
		},
	}
	c.Flags().StringVar(&rights, "rights", "rw", "r, w or rw")
	return c
}

// checkName refuses an invalid name before weir asks for the password. A colon
// ends the name in the file and in HTTP's Authorization, a dot in a token.
func checkName(name string) error {
	f := &failure{code: exitUsage, try: "weir password ann"}
	switch i := strings.IndexAny(name, ":. "); {
	case name == "":
		f.text = "empty user name"
	case name[0] == '#':
		f.text = fmt.Sprintf("the name %q would be a comment in the file of --auth", name)
	case i >= 0:
		f.text = fmt.Sprintf("the name %q cannot contain a %s", name, map[byte]string{':': "colon", '.': "dot", ' ': "space"}[name[i]])
		f.try = "weir password " + strings.Map(func(r rune) rune {
			if strings.ContainsRune(":. ", r) {
				return '-'
			}
			return r
		}, name)
	case strings.ContainsFunc(name, unicode.IsControl):
		f.text = fmt.Sprintf("the name %q cannot contain line breaks or other control characters", name)
	default:
		return nil
	}
	return f
}

// readUsers reads the file of --auth.
func readUsers(name string) (*auth.Users, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &failure{code: exitUsage, text: fmt.Sprintf("cannot read the users in %s: %v", name, innermost(err)), try: "weir password NAME >> " + name}
	}
	defer f.Close()
	users, err := auth.Parse(f)
	if err != nil {
		return nil, &failure{code: exitUsage, text: fmt.Sprintf("%s: %s", name, strings.TrimPrefix(err.Error(), "auth: ")), try: "weir password NAME >> " + name}
	}
	return users, nil
}

// readPassword asks twice at a terminal, because the input is not shown.
func readPassword(stderr io.Writer) (string, error) {
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		text, err := ask(fd, stderr, "password: ")
		if err != nil {
			return "", err
		}
		again, err := ask(fd, stderr, "once more: ")
		if err == nil && again != text {
			err = errors.New("the two passwords differ")
		}
		return text, err
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line != "" {
		return line, nil
	}
	if err == nil || err == io.EOF {
		err = errors.New("empty password")
	}
	return "", err
}

func ask(fd int, stderr io.Writer, what string) (string, error) {
	fmt.Fprint(stderr, what)
	text, err := term.ReadPassword(fd)
	fmt.Fprintln(stderr)
	if err == nil && len(text) == 0 {
		err = errors.New("empty password")
	}
	return string(text), err
}
