package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/nats"
)

// edges are the commands about edges between machines.
type edges struct {
	stdout io.Writer
	json   bool
}

func newEdge(stdout io.Writer) *cobra.Command {
	e := &edges{stdout: stdout}
	c := &cobra.Command{
		Use:   "edge",
		Short: "List, describe and drop edges between machines",
		Long: `List, describe and drop edges between machines: the streams behind nats:// URLs.

    weir pipe access.log nats://host/logs      writes an edge, here
    weir pipe nats://host/logs access.log      reads it, there

An edge stays on its server until you drop it, also when its end was read: an
edge is for one stream. Credentials are those of the nats command: in the URL,
or in NATS_CREDS, NATS_NKEY, or NATS_USER and NATS_PASSWORD. See docs/scale.md.`,
		Example: `  weir edge ls nats://host
  weir edge info nats://host/logs
  weir edge drop nats://host/logs`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	ls := &cobra.Command{
		Use:   "ls [SERVER]",
		Short: "List the edges on a server",
		Long: `List the edges on a server: nats://host or nats://host:port. Without SERVER it is
NATS_URL, or else nats://localhost.

    HELD     bytes on the server, and the most that it may hold
    WRITTEN  bytes that the producer has written until now
    BEHIND   bytes of these that the consumer has not freed yet
    STATE    open, ended (all is written), or read (all is written and freed)`,
		Example: `  weir edge ls nats://host
  weir edge ls nats://host --json`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &failure{code: exitUsage, text: "edge ls takes one server", try: "weir edge ls nats://host"}
			}
			return e.list(cmp.Or(append(args, os.Getenv("NATS_URL"), "nats://localhost")...))
		},
	}
	info := &cobra.Command{
		Use:     "info URL",
		Short:   "Describe an edge",
		Long:    `Describe an edge: how much it holds, how far its producer and its consumer are, and its settings.`,
		Example: `  weir edge info nats://host/logs`,
		Args:    oneEdge("info"),
		RunE:    func(_ *cobra.Command, args []string) error { return e.info(args[0]) },
	}
	drop := &cobra.Command{
		Use:   "drop URL",
		Short: "Remove an edge with what it holds",
		Long: `Remove an edge with what it holds. A producer or consumer that still runs fails. The
name can then be used for another stream. weir removes only streams that it made.`,
		Example: `  weir edge drop nats://host/logs`,
		Args:    oneEdge("drop"),
		RunE:    func(_ *cobra.Command, args []string) error { return e.drop(args[0]) },
	}
	for _, sub := range []*cobra.Command{ls, info, drop} {
		sub.Flags().BoolVar(&e.json, "json", false, "print JSON, a line for each edge")
		c.AddCommand(sub)
	}
	return c
}

// oneEdge checks that a command gets the URL of an edge.
func oneEdge(command string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return &failure{code: exitUsage, text: "edge " + command + " takes the URL of one edge", try: "weir edge " + command + " nats://host/NAME"}
		}
		return nil
	}
}

// edgeTime is how long a server may take to answer.
const edgeTime = 30 * time.Second

func edgeContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), edgeTime)
}

// edgeFailure turns the error of a command into a failure. url is of the edge or the server.
func edgeFailure(url string, err error) error {
	f := advised(err, "")
	f.code = exitFailed
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.try = "weir edge ls " + quoted(shown(url[:strings.LastIndexByte(url, '/')])) + ", to see which there are"
	case errno.Is(err, syscall.ECONNREFUSED):
		f.try = nothingListens(url, err)
	case errors.Is(err, nats.ErrNotAnEdge) && f.try == "":
		f.try = "another name"
	}
	return f
}

// parseEdge reads the URL of an edge.
func parseEdge(url string) (nats.Edge, error) {
	e, err := nats.Parse(url)
	if f := missingSlash(url); err != nil && f != nil {
		return e, f
	}
	if err != nil {
		return e, advised(err, "weir edge ls nats://host, to see the edges on a server")
	}
	return e, nil
}

func (e *edges) list(server string) error {
	ctx, cancel := edgeContext()
	defer cancel()
	list, err := nats.List(ctx, server)
	if f := missingSlash(server); err != nil && f != nil {
		return f
	}
	if err != nil {
		return edgeFailure(server, err)
	}
	if e.json {
		for _, i := range list {
			if err := e.emit(i); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(e.stdout, "no edges")
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tHELD\tWRITTEN\tBEHIND\tSTATE")
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%s of %s\t%s\t%s\t%s\n", i.Name, weir.FormatBytes(i.Held), weir.FormatBytes(i.Max),
			weir.FormatBytes(i.Written), weir.FormatBytes(i.Lag()), edgeState(i))
	}
	return w.Flush()
}

// edgeState is the state of an edge in one word, or the error that makes it
// unusable.
func edgeState(i nats.Info) string {
	switch {
	case i.Err != "":
		return i.Err
	case i.Ended && i.Lag() == 0:
		return "read"
	case i.Ended:
		return "ended"
	}
	return "open"
}

func (e *edges) info(url string) error {
	edge, err := parseEdge(url)
	if err != nil {
		return err
	}
	ctx, cancel := edgeContext()
	defer cancel()
	i, err := edge.Info(ctx)
	if err != nil {
		return edgeFailure(url, err)
	}
	if e.json {
		return e.emit(i)
	}
	written, producer, consumer := "not ended", "nothing written yet", "none is running"
	if i.Ended {
		written = "ended"
	}
	if i.Source != "" {
		producer = fmt.Sprintf("reads %s, saved at byte %d", i.Source, i.From.Offset)
	} else if i.Written > 0 {
		producer = "cannot be continued"
	}
	if i.Reading {
		consumer = "running"
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "edge\t%s\n", i.URL)
	fmt.Fprintf(w, "held\t%s of %s\n", weir.FormatBytes(i.Held), weir.FormatBytes(i.Max))
	fmt.Fprintf(w, "written\t%s, %s\n", units.Count(i.Written, "byte"), written)
	fmt.Fprintf(w, "freed\t%s, %s behind\n", units.Count(i.Consumed, "byte"), weir.FormatBytes(i.Lag()))
	fmt.Fprintf(w, "producer\t%s\n", producer)
	fmt.Fprintf(w, "consumer\t%s\n", consumer)
	fmt.Fprintf(w, "stream\t%s storage, replicas: %d, server %s\n", i.Storage, i.Replicas, i.Server)
	fmt.Fprintf(w, "made\t%s, id %s\n", i.Created.Local().Format(time.DateTime), i.ID)
	return w.Flush()
}

func (e *edges) drop(url string) error {
	edge, err := parseEdge(url)
	if err != nil {
		return err
	}
	ctx, cancel := edgeContext()
	defer cancel()
	if err := edge.Drop(ctx); err != nil {
		return edgeFailure(url, err)
	}
	if e.json {
		return emitLine(e.stdout, "dropped", map[string]any{"url": edge.String(), "name": edge.Name})
	}
	_, err = fmt.Fprintln(e.stdout, "dropped", edge)
	return err
}

func (e *edges) emit(i nats.Info) error {
	return emitLine(e.stdout, "edge", map[string]any{
		"url": i.URL, "name": i.Name, "id": i.ID, "held": i.Held, "max": i.Max, "written": i.Written, "freed": i.Consumed, "behind": i.Lag(),
		"ended": i.Ended, "source": i.Source, "source_offset": i.From.Offset, "source_version": i.From.Version, "consumer": i.Reading,
		"storage": i.Storage, "replicas": i.Replicas, "server": i.Server, "created": i.Created, "error": i.Err,
	})
}
