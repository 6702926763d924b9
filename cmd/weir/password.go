package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-go/weir/weirhttp/auth"
)

// newPassword makes lines for the file of --auth.
func newPassword(stdout, stderr io.Writer) *cobra.Command {
	rights := "rw"
	c := &cobra.Command{
		Use:   "password NAME",
		Short: "Make a line for the file of weir serve --auth",
		Long: `Ask for a password, or read it from standard input, and print a line for the
file of weir serve --auth: the name, the argon2id hash of the password, and the
rights.`,
		Example: "  weir password ann >> users.txt\n  weir password guest --rights r >> users.txt",
		Args:    one("name", "weir password ann"),
		RunE: func(_ *cobra.Command, args []string) error {
			if rights != "r" && rights != "w" && rights != "rw" {
				return &failure{code: exitUsage, text: fmt.Sprintf("--rights %s: use r, w or rw", rights), try: "--rights r"}
			}
			password, err := readPassword(stderr)
			if err != nil {
				return &failure{code: exitSource, text: "cannot read the password: " + err.Error()}
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

func readPassword(stderr io.Writer) (string, error) {
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		fmt.Fprint(stderr, "password: ")
		text, err := term.ReadPassword(fd)
		fmt.Fprintln(stderr)
		if err == nil && len(text) == 0 {
			err = errors.New("it is empty")
		}
		return string(text), err
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line != "" {
		return line, nil
	}
	if err == nil || err == io.EOF {
		err = errors.New("it is empty")
	}
	return "", err
}
