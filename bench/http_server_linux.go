package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// The servers that are measured. All serve the data folder and are processes
// of their own; weir is the command, with its guard, registry and access log.
const (
	srvWeir    = "weir serve"
	srvWeirLib = "weirhttp alone"
	srvContent = "Go ServeContent"
	srvFiles   = "Go FileServer"
	srvNginx   = "nginx"
	srvCaddy   = "Caddy"
	srvNode    = "Node pipe"
	srvTusd    = "tusd"
)

// absentServer says why a server cannot run here.
func absentServer(name string) string {
	tool := map[string]string{srvNginx: "nginx", srvCaddy: "caddy", srvNode: "node", "dd conv=fsync": "dd"}[name]
	if tool == "" {
		return ""
	}
	if _, err := toolPath(tool); err != nil {
		return tool + " is not present"
	}
	return ""
}

func toolPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && name == "nginx" {
		return exec.LookPath("/usr/sbin/nginx")
	}
	return path, err
}

// wish is how a server is to be set up.
type wish struct {
	stall string // how long a client may stall, as "5s"; empty: the server's own default
	sync  bool   // uploads are on stable storage when they are answered
}

// server is one that runs.
type server struct {
	cmd     *exec.Cmd
	pid     int
	port    int
	addr    string
	uploads string // its folder for uploads
	put     string // where uploads go
	tus     bool   // uploads are tus, not PUT
	log     string
}

// startServer starts a server and waits until it answers.
func startServer(ctx context.Context, e *env, name string, w wish) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{
		port: port, addr: fmt.Sprintf("127.0.0.1:%d", port), uploads: e.path("uploads"),
		put: "/_upload/", tus: name == srvTusd, log: e.path("server.log"),
	}
	if err := errors.Join(os.RemoveAll(s.uploads), os.MkdirAll(s.uploads, 0o777)); err != nil {
		return nil, err
	}
	argv, err := serverArgs(e, name, s, w)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = s.cmd.Process.Pid
	if err := s.ready(ctx); err != nil {
		s.stop()
		text, _ := os.ReadFile(s.log)
		return nil, fmt.Errorf("starting %s: %w: %s", name, err, text)
	}
	return s, nil
}

func serverArgs(e *env, name string, s *server, w wish) ([]string, error) {
	switch name {
	case srvWeir:
		argv := []string{e.path("weir"), "serve", e.dir, "--listen", s.addr, "--uploads", s.uploads, "--max-conns", "20000"}
		if w.stall != "" {
			argv = append(argv, "--stall", w.stall)
		}
		if w.sync {
			argv = append(argv, "--sync")
		}
		return argv, nil
	case srvNginx:
		path, err := toolPath("nginx")
		if err != nil {
			return nil, err
		}
		conf := e.path("nginx.conf")
		return []string{path, "-c", conf}, os.WriteFile(conf, []byte(nginxConf(e, s, w)), 0o666)
	case srvCaddy:
		return []string{"caddy", "file-server", "--root", e.dir, "--listen", s.addr}, nil
	case srvNode:
		return nodeScript(e, "serve.mjs", s.addr, e.dir), nil
	}
	kinds := map[string]string{srvWeirLib: "weirhttp", srvContent: "content", srvFiles: "files", srvTusd: "tusd"}
	return child("http-server", kinds[name], s.addr, e.dir, s.uploads, fmt.Sprint(w.sync)), nil
}

// nginxConf is one worker with sendfile, and no more than is needed.
func nginxConf(e *env, s *server, w wish) string {
	timeout := ""
	if w.stall != "" {
		timeout = "send_timeout " + w.stall + ";"
	}
	s.put = "/uploads/"
	tmp := filepath.Join(e.dir, "nginx-tmp")
	return fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.err;
worker_rlimit_nofile 20000;
events { worker_connections 20000; }
http {
  access_log off; sendfile on; tcp_nopush on; client_max_body_size 0; %[4]s
  client_body_temp_path %[2]s-body; proxy_temp_path %[2]s-proxy; fastcgi_temp_path %[2]s-fcgi;
  uwsgi_temp_path %[2]s-uwsgi; scgi_temp_path %[2]s-scgi;
  server {
    listen %[3]s backlog=4096; root %[1]s; keepalive_requests 100000000;
    location /uploads/ { dav_methods PUT; }
  }
}
`, e.dir, tmp, s.addr, timeout)
}

// ready waits until the server accepts connections.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			return c.Close()
		}
		var none syscall.WaitStatus
		if pid, _ := syscall.Wait4(s.pid, &none, syscall.WNOHANG, nil); pid == s.pid {
			return errors.New("it has ended")
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func (s *server) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// idle waits until the number of a process's descriptors has not changed for
// some looks in a row, and returns it. That is longer than the half second for
// which net/http keeps a connection that it has ended.
func (s *server) idle(ctx context.Context) (int, error) {
	const looks, pause = 80, 10 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	last, same := -1, 0
	for range 1500 {
		n, err := openFiles(s.pid)
		if err != nil {
			return 0, err
		}
		if n != last {
			last, same = n, 0
		} else if same++; same == looks {
			return n, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return last, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
