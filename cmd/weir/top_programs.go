package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/report"
)

const (
	topEvery   = 500 * time.Millisecond // between two questions to a program
	topPatient = 3 * time.Second        // for an answer
	topKept    = 10 * time.Second       // that accounts go back
)

// maxAnswer is the largest snapshot that is read, in bytes. One with 200
// transfers and 50 flows of 64 stages has about 3 MiB.
const maxAnswer = 16 << 20

// program is a running weir that answers: a command on its socket, or a server
// by a URL.
type program struct {
	base   string // beginning of its URLs, with a slash at the end
	socket string // empty if the program is reached over the network
	pid    int    // process number in the name of its socket, in case the program does not answer
	client *http.Client
	user   *url.Userinfo
	header http.Header // for every question
	stop   context.CancelFunc

	mu    sync.Mutex // guards the fields below
	args  []string
	snap  *monitor.Snapshot // the newest; nil: none yet
	err   error             // of the last question
	looks []programLook     // of the last seconds, the oldest first
	chose following
}

// following is the transfer of a program whose stages are shown.
type following struct {
	group, id string
	flow      *monitor.Flow // nil: not known yet, or ended
}

// programLook holds the flows of a program at one time.
type programLook struct {
	at    time.Time
	flows map[string]monitor.Flow
}

// state returns the last answer of the program, or the error of the last request.
func (p *program) state() (snap *monitor.Snapshot, args []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.snap, p.args, p.err
}

// number returns the process number that the program reports or, if it has not
// answered, the one in the name of its socket.
func (p *program) number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.snap != nil {
		return p.snap.Program.PID
	}
	return p.pid
}

// problem is an answer that is none.
type problem struct {
	status int    // of HTTP; 0: the answer is not from a monitor
	text   string // the server's message
}

func (e *problem) Error() string { return e.text }

// get asks for one of the JSON documents of a monitor.
func (p *program) get(ctx context.Context, name string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, topPatient)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+name, nil)
	if err != nil {
		return err
	}
	maps.Copy(r.Header, p.header)
	if p.user != nil {
		password, _ := p.user.Password()
		r.SetBasicAuth(p.user.Username(), password)
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, maxAnswer)
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		return &problem{resp.StatusCode, "it redirects to " + printable(endpoint.Redact(to))}
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(body, 300))
		line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		return &problem{resp.StatusCode, printable(line)}
	}
	if err := json.NewDecoder(body).Decode(into); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &problem{0, fmt.Sprintf("%s does not answer as a monitor does: %v", name, err)}
	}
	return nil
}

// ask asks the program once for all that weir top shows of it.
func (p *program) ask(ctx context.Context) error {
	var snap monitor.Snapshot
	err := p.get(ctx, "status.json", &snap)
	if err == nil && snap.V != monitor.Version {
		err = &problem{0, fmt.Sprintf("the monitor speaks version %d, and this weir version %d", snap.V, monitor.Version)}
	}
	p.mu.Lock()
	known := p.args != nil || p.socket == ""
	p.mu.Unlock()
	var run runInfo
	if err == nil && !known {
		err = p.get(ctx, "run.json", &run)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	if err != nil {
		return err
	}
	if !known {
		p.args = append([]string{}, run.Args...)
	}
	p.snap = &snap
	p.looks = append(p.looks, programLook{time.UnixMilli(int64(snap.Time * 1000)), snap.Flows})
	for len(p.looks) > 2 && p.looks[len(p.looks)-1].at.Sub(p.looks[1].at) > topKept {
		p.looks = p.looks[1:]
	}
	return nil
}

// follow makes the program tell of one of its transfers, from the next question
// on.
func (p *program) follow(group, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chose.group != group || p.chose.id != id {
		p.chose = following{group: group, id: id}
	}
}

// followed returns the stages of that transfer, or nil.
func (p *program) followed() *monitor.Flow {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.chose.flow
}

// askTransfer asks for the transfer that is followed.
func (p *program) askTransfer(ctx context.Context) {
	p.mu.Lock()
	want := p.chose
	p.mu.Unlock()
	if want.id == "" {
		return
	}
	var f *monitor.Flow
	if p.get(ctx, "transfer.json?"+url.Values{"group": {want.group}, "id": {want.id}}.Encode(), &f) != nil {
		f = nil // it has ended
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chose.group == want.group && p.chose.id == want.id {
		p.chose.flow = f
	}
}

// watch asks again and again, until ctx ends.
func (p *program) watch(ctx context.Context) {
	for {
		if p.ask(ctx) == nil { // else state has the error
			p.askTransfer(ctx)
		}
		next := time.NewTimer(topEvery)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return
		}
	}
}

// account returns the stages of the one flow that the program runs, with the
// times of the last window as the program itself has counted them, and the share
// of the window that these cover. It reports false if there is no such flow.
func (p *program) account(window time.Duration) ([]report.StageStats, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.looks) == 0 {
		return nil, false
	}
	now := p.looks[len(p.looks)-1]
	key := ""
	for k, f := range now.flows {
		if f.Running {
			if key != "" {
				return nil, false
			}
			key = k
		}
	}
	f := now.flows[key]
	if key == "" || f.Hidden > 0 || len(f.Stages) == 0 {
		return nil, false
	}
	var before monitor.Flow
	for _, l := range p.looks {
		// The last look that is old enough, else the oldest: times are relative
		// anyhow.
		if l.at == now.at || before.Stages != nil && now.at.Sub(l.at) < window {
			break
		}
		if was, ok := l.flows[key]; ok && len(was.Stages) == len(f.Stages) {
			before = was
		}
	}
	stages := make([]report.StageStats, len(f.Stages))
	for i := range stages {
		place := strconv.Itoa(i)
		st, ok := f.Stages[place]
		if !ok {
			return nil, false
		}
		stages[i] = stageStats(st, before.Stages[place])
	}
	return stages, true
}

// stageStats returns the statistics of a stage between two snapshots.
func stageStats(now, was monitor.Stage) report.StageStats {
	s := report.StageStats{
		Name: now.Name, Workers: now.Workers, Unit: now.Unit, OutUnit: now.OutUnit, Limits: now.Limits, Upstream: now.Ups,
		In: now.In - was.In, Out: now.Out - was.Out, BlockedN: now.BlockedN - was.BlockedN, Kind: report.KindStage,
	}
	switch now.Kind {
	case report.KindSource.String():
		s.Kind = report.KindSource
	case report.KindSink.String():
		s.Kind = report.KindSink
	}
	for i, to := range []*time.Duration{&s.Busy, &s.Blocked, &s.Starved, &s.Outside, &s.Unknown} {
		*to = max(0, time.Duration((now.Seconds[i]-was.Seconds[i])*float64(time.Second)))
		s.Wall += *to
	}
	return s
}

// programs are the commands of this user that run on this machine and answer on
// their sockets, or one program that was named.
type programs struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	named  *program
	only   func(pid int) bool // nil: all are asked

	mu  sync.Mutex // guards all
	all map[string]*program
}

func newPrograms(only func(pid int) bool) *programs {
	ps := &programs{only: only, all: map[string]*program{}}
	ps.ctx, ps.cancel = context.WithCancel(context.Background())
	return ps
}

// end stops to ask, and waits for the questions that are under way.
func (ps *programs) end() {
	if ps == nil {
		return
	}
	ps.cancel()
	ps.wg.Wait()
	for _, p := range ps.list() {
		p.client.CloseIdleConnections()
	}
}

// list returns the programs in the order of their process numbers.
func (ps *programs) list() []*program {
	ps.mu.Lock()
	list := slices.Collect(maps.Values(ps.all))
	ps.mu.Unlock()
	slices.SortFunc(list, func(a, b *program) int { return a.number() - b.number() })
	return list
}

// of returns the program that is a process, or nil.
func (ps *programs) of(pid int) *program {
	for _, p := range ps.list() {
		if p.socket != "" && p.number() == pid {
			return p
		}
	}
	return nil
}

// exact is an account: the statistics that a process of weir has counted itself.
func (ps *programs) exact(pid int, window time.Duration) ([]report.StageStats, bool) {
	if p := ps.of(pid); p != nil {
		return p.account(window)
	}
	return nil, false
}

// find looks for commands that have begun or ended since the last time. It
// removes the sockets of those that were killed, and returns an error if a
// folder of sockets is not this user's alone.
func (ps *programs) find() (refusal error) {
	if ps.named != nil {
		return nil
	}
	found := map[string]bool{}
	for _, dir := range socketFolders() {
		if err := private(dir); err != nil {
			if !errors.Is(err, fs.ErrNotExist) && refusal == nil {
				refusal = err
			}
			continue
		}
		sweepSockets(dir)
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // it has just been removed
		}
		for _, f := range files {
			pid, ok := socketOwner(f.Name())
			if !ok || f.Type()&fs.ModeSocket == 0 || ps.only != nil && !ps.only(pid) {
				continue
			}
			name := filepath.Join(dir, f.Name())
			found[name] = true
			ps.add(name, pid)
		}
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for name, p := range ps.all {
		if !found[name] {
			p.stop()
			delete(ps.all, name)
		}
	}
	return refusal
}

// add begins to ask the command with this socket, unless it is asked already.
func (ps *programs) add(name string, pid int) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.all[name] != nil {
		return
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", name)
		if err != nil && refused(err) && isOld(name) {
			_ = sweepSocket(name) // another process has its number by now
		}
		return conn, err
	}
	p := &program{base: "http://weir/_weir/", socket: name, pid: pid}
	p.client = &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1, IdleConnTimeout: time.Minute, DisableCompression: true}}
	ps.start(name, p)
}

// start begins to ask a program. The caller holds mu.
func (ps *programs) start(name string, p *program) {
	ctx, cancel := context.WithCancel(ps.ctx)
	p.stop = cancel
	ps.all[name] = p
	ps.wg.Go(func() { p.watch(ctx) })
}

// remote adds the program with a URL. It sends one request, so that an error is
// reported at once.
func (ps *programs) remote(address string, user *url.Userinfo, o endpoint.HTTPOptions) error {
	base, err := monitorURL(address)
	if f := missingSlash(address); f != nil {
		return f
	}
	if err != nil {
		return &failure{code: exitUsage, text: fmt.Sprintf("invalid address %q: %v", address, err), try: "weir top http://127.0.0.1:8080/"}
	}
	if base.User != nil {
		user, base.User = base.User, nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if o.TLS != nil {
		transport.TLSClientConfig = o.TLS
	}
	// A password or a header is not for where a redirect leads.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p := &program{base: base.String(), client: &http.Client{Transport: transport, CheckRedirect: stay}, user: user, header: o.Header}
	err = p.ask(ps.ctx)
	var none *problem
	if errors.As(err, &none) && none.status == http.StatusNotFound && base.Path == serverPage {
		p.base = base.ResolveReference(&url.URL{Path: programPage}).String()
		if p.ask(ps.ctx) != nil {
			p.base = base.String()
		} else {
			err = nil
		}
	}
	if err != nil {
		return p.explain(err)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.named = p
	ps.start(p.base, p)
	return nil
}

// explain says why a URL shows no monitor.
func (p *program) explain(err error) error {
	f := &failure{code: exitSource, text: fmt.Sprintf("cannot look at %s: %v", p.base, plainNetError(err))}
	var answer *problem
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.As(err, &answer) && answer.status == http.StatusUnauthorized:
		f.text = fmt.Sprintf("cannot look at %s: it requires a user and a password", p.base)
		f.try = "--user NAME, which asks for the password; or WEIR_USER=NAME:PASSWORD"
		if p.user != nil {
			f.text = fmt.Sprintf("cannot look at %s: wrong user or password", p.base)
		}
	case errors.As(err, &answer) && answer.status == http.StatusForbidden:
		f.try = "ssh -L 8080:127.0.0.1:PORT to that machine, then weir top :8080; or weir serve --auth there"
	case errors.As(err, &answer) && (answer.status == http.StatusNotFound || answer.status == 0):
		f.text = fmt.Sprintf("no monitor of weir at %s", p.base)
		f.try = "the address that weir serve or --ui prints; for a Go program, the path of its monitor.Handler"
	case errors.As(err, &unknown):
		f.try = "--cacert FILE with the certificate of the server; or --insecure, which accepts any"
	case errors.Is(err, context.DeadlineExceeded):
		f.text = fmt.Sprintf("cannot look at %s: no answer within %v", p.base, topPatient)
	default:
		f.try = usual(p.base, err)
	}
	return f
}

// Where the monitor is: in weir itself, and in the documentation for Go programs.
const (
	serverPage  = "/_weir/"
	programPage = "/weir/"
)

// monitorURL completes an address: :8080 and http://host:8080/ both stand for the
// monitor of that server.
func monitorURL(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		if _, err := strconv.ParseUint(address, 10, 16); err == nil {
			address = ":" + address
		}
		if strings.HasPrefix(address, ":") {
			address = "127.0.0.1" + address
		}
		address = "http://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		var in *url.Error
		if errors.As(err, &in) {
			err = in.Err
		}
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("neither http nor https")
	case u.Host == "" || u.Hostname() == "":
		return nil, errors.New("no host")
	}
	u.RawQuery, u.Fragment = "", ""
	for _, name := range []string{"status.json", "status.txt", "metrics"} {
		u.Path = strings.TrimSuffix(u.Path, name)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = serverPage
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, nil
}
