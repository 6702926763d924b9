// Package auth authenticates the clients of an HTTP server, with Basic or Bearer, and
// lets each user read, write, or both.
package auth

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/deny"
)

// Rights are the permissions of a user.
type Rights int

const (
	Read  Rights = 1 << iota // GET and HEAD, except of uploads; see Users.Uploads
	Write                    // everything else
)

// Users are the accounts of a server, with their passwords and rights. Make them with
// [Parse]. A Users can be used concurrently.
type Users struct {
	// Realm is what browsers show when they ask for a password.
	Realm string

	// Uploads, if not empty, is the path of a handler of uploads, as in
	// "/upload". GET and HEAD at it and below need Write: with them a client of a
	// resumable upload asks how much has arrived, which interrupts an older request
	// that still adds to the upload. Files that others can read need another path.
	Uploads string

	users map[string]user
	dummy hash          // unknown names are checked against it: the slowest of all
	turns chan struct{} // checks at a time: each takes tens of megabytes
	key   []byte        // of the digests in known

	mu    sync.Mutex
	known map[[sha256.Size]byte]struct{} // passwords that were right, as keyed digests
	wrong tries
}

type user struct {
	hash   hash
	rights Rights
}

// mostKnown bounds how many right passwords are remembered. A check takes
// some 30 ms on purpose, and browsers send the password with each request.
const mostKnown = 1024

// Parse reads users, one to a line: a name, the hash of a password, and r, w or
// rw, separated by colons. A hash is argon2id or bcrypt, as [Hash] and
// htpasswd -B make it. Empty lines and those that begin with # are left out.
// Errors name the line.
func Parse(r io.Reader) (*Users, error) {
	u := &Users{
		Realm: "weir", users: map[string]user{}, turns: make(chan struct{}, 2),
		known: map[[sha256.Size]byte]struct{}{}, key: make([]byte, 32),
		wrong: tries{},
	}
	rand.Read(u.key) // never fails
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := u.add(line); err != nil {
			return nil, fmt.Errorf("auth: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if len(u.users) == 0 {
		return nil, errors.New("auth: no users")
	}
	return u, nil
}

func (u *Users) add(line string) error {
	name, rest, _ := strings.Cut(line, ":")
	text, letters, found := strings.Cut(rest, ":")
	if !found || name == "" {
		return errors.New("not of the form NAME:HASH:RIGHTS")
	}
	if strings.ContainsAny(name, ".: ") {
		return fmt.Errorf("the name %q contains a dot or a space", name)
	}
	if _, taken := u.users[name]; taken {
		return fmt.Errorf("duplicate user %s", name)
	}
	h, err := parseHash(text)
	if err != nil {
		return fmt.Errorf("hash of %s: %w", name, err)
	}
	rights, ok := map[string]Rights{"r": Read, "w": Write, "rw": Read | Write}[letters]
	if !ok {
		return fmt.Errorf("invalid rights %[2]q of %[1]s; use r, w or rw", name, letters)
	}
	u.users[name] = user{h, rights}
	if u.dummy == nil || h.cost() > u.dummy.cost() {
		u.dummy = h
	}
	return nil
}

// Check returns the rights of the user with the given name and password; zero
// if the password is wrong or the name unknown, which takes equally long. It
// blocks while other passwords are checked.
//
// Check does not slow down guessing; [Users.Handler] does.
func (u *Users) Check(name, password string) Rights {
	rights, _, _ := u.check(context.Background(), name, password, "")
	return rights
}

// check is Check for a client at addr, which may be empty. If wait > 0 nothing
// was checked: too many tries from addr were wrong. Nor was it if err is not nil:
// ctx ended while others were checked.
func (u *Users) check(ctx context.Context, name, password, addr string) (rights Rights, wait time.Duration, err error) {
	who, ok := u.users[name]
	mac := hmac.New(sha256.New, u.key)
	fmt.Fprintf(mac, "%d:%s:%s", len(name), name, password)
	digest := [sha256.Size]byte(mac.Sum(nil))
	u.mu.Lock()
	_, known := u.known[digest]
	u.mu.Unlock()
	if known && ok {
		return who.rights, 0, nil
	}
	if !ok {
		who.hash = u.dummy
	}
	// Check whether the client has to wait before taking a turn, because turns are
	// scarce. Check again inside the turn, because other tries of the same client may
	// have failed by then.
	if wait = u.wait(addr); wait > 0 {
		return 0, wait, nil
	}
	select {
	case u.turns <- struct{}{}:
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	defer func() { <-u.turns }()
	if wait = u.wait(addr); wait > 0 {
		return 0, wait, nil
	}
	right := who.hash.matches(password)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !right || !ok {
		if addr != "" {
			u.wrong.add(addr, time.Now())
		}
		return 0, 0, nil
	}
	if len(u.known) >= mostKnown {
		clear(u.known)
	}
	u.known[digest] = struct{}{}
	return who.rights, 0, nil
}

func (u *Users) wait(addr string) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.wrong.wait(addr, time.Now())
}

// Handler passes a request to h if its user has the right to make it. Otherwise it
// responds: 401 without a valid name and password, 403 without the right, and 429 to an
// address that has sent many wrong passwords. OPTIONS needs any right. If the context of
// a request ends before its password was checked, the response is 503.
//
// A client authenticates with Basic, or with a Bearer token that consists of the name,
// a dot and the password.
func (u *Users) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, ok := Credentials(r)
		rights, wait, err := Rights(0), time.Duration(0), error(nil)
		if ok {
			rights, wait, err = u.check(r.Context(), name, password, addrOf(r))
		}
		switch {
		case err != nil: // mostly the client has left
			deny.Request(w, r, http.StatusServiceUnavailable, "the password was not checked in time")
		case wait > 0:
			seconds := int64((wait + time.Second - 1) / time.Second)
			w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
			deny.Request(w, r, http.StatusTooManyRequests, fmt.Sprintf("too many wrong passwords: try again in %d s", seconds))
		case rights == 0:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q, charset=\"UTF-8\"", u.Realm))
			deny.Request(w, r, http.StatusUnauthorized, "who are you?")
		case rights&u.need(r) == 0:
			deny.Request(w, r, http.StatusForbidden, "you may not do that")
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// Credentials returns the name and password that a client sent with Basic or
// Bearer, or reports that it sent none. It does not check the password: only behind
// [Users.Handler] does the name identify the user.
func Credentials(r *http.Request) (name, password string, ok bool) {
	if name, password, ok = r.BasicAuth(); ok {
		return name, password, true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", "", false
	}
	return strings.Cut(token, ".")
}

// need returns the rights of which r needs at least one.
func (u *Users) need(r *http.Request) Rights {
	switch r.Method {
	case http.MethodOptions:
		return Read | Write
	case http.MethodGet, http.MethodHead:
		// A ServeMux sends /upload/..%2Fx to the handler of /upload/, so the path as it
		// came counts, too.
		if u.isUpload(r.URL.Path) || u.isUpload(path.Clean("/"+r.URL.Path)) {
			return Write
		}
		return Read
	}
	return Write
}

// isUpload reports whether a path is Uploads or below it.
func (u *Users) isUpload(path string) bool {
	below, ok := strings.CutPrefix(path, strings.TrimRight(u.Uploads, "/"))
	return u.Uploads != "" && ok && (below == "" || below[0] == '/')
}
