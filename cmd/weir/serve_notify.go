package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"
)

// notifier tells the service manager what the server does, as sd_notify(3) describes it.
// Without NOTIFY_SOCKET there is none, and its methods do nothing.
type notifier struct {
	socket string
	log    *slog.Logger
}

func newNotifier(log *slog.Logger) *notifier {
	return &notifier{socket: os.Getenv("NOTIFY_SOCKET"), log: log}
}

// ready says that the server answers requests.
func (n *notifier) ready() { n.send("READY=1") }

// reloading says that the server reads its settings again. ready ends that.
func (n *notifier) reloading() {
	n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic()/time.Microsecond))
}

// stopping says that the server ends, which takes up to d.
func (n *notifier) stopping(d time.Duration) {
	// Beyond --drain and --grace, the end takes almost no time.
	n.send(fmt.Sprintf("STOPPING=1\nEXTEND_TIMEOUT_USEC=%d", (d+5*time.Second)/time.Microsecond))
}

// send only logs errors: a server without its manager still serves.
func (n *notifier) send(state string) {
	if n.socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(state))
		c.Close()
	}
	if err != nil {
		n.log.Warn("cannot notify the service manager", "socket", n.socket, "error", err.Error())
	}
}
