// Package auth asks clients of an HTTP server who they are, by Basic or Bearer,
// and lets them read, write, or both.
package auth

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Rights are what a user may do.
type Rights int

const (
	Read  Rights = 1 << iota // GET, HEAD, OPTIONS
	Write                    // everything else
)

// Users are those who may come in. Make them with [Parse]. A Users may be used
// concurrently.
type Users struct {
	// Realm is what browsers show when they ask for a password.
	Realm string

	users map[string]user
	dummy hash          // what unknown names are checked against
	turns chan struct{} // checks at a time: each takes tens of megabytes
	key   []byte        // of the digests in known

	mu    sync.Mutex
	known map[[sha256.Size]byte]struct{} // passwords that were right, as keyed digests
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
	}
	if _, err := rand.Read(u.key); err != nil {
		return nil, err
	}
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
		return nil, errors.New("auth: there are no users")
	}
	return u, nil
}

func (u *Users) add(line string) error {
	name, rest, _ := strings.Cut(line, ":")
	text, letters, found := strings.Cut(rest, ":")
	if !found || name == "" {
		return errors.New("it is not NAME:HASH:RIGHTS")
	}
	if strings.ContainsAny(name, ".: ") {
		return fmt.Errorf("the name %q contains a dot or a space", name)
	}
	if _, taken := u.users[name]; taken {
		return fmt.Errorf("%s is there twice", name)
	}
	h, err := parseHash(text)
	if err != nil {
		return fmt.Errorf("the hash of %s: %w", name, err)
	}
	rights, ok := map[string]Rights{"r": Read, "w": Write, "rw": Read | Write}[letters]
	if !ok {
		return fmt.Errorf("the rights of %s are %q: use r, w or rw", name, letters)
	}
	u.users[name] = user{h, rights}
	if u.dummy == nil {
		u.dummy = h
	}
	return nil
}

// Check returns what the one with the given name and password may do; zero if
// the password is wrong or the name unknown, which takes equally long. It
// blocks while other passwords are checked.
func (u *Users) Check(name, password string) Rights {
	who, ok := u.users[name]
	mac := hmac.New(sha256.New, u.key)
	fmt.Fprintf(mac, "%d:%s:%s", len(name), name, password)
	digest := [sha256.Size]byte(mac.Sum(nil))
	u.mu.Lock()
	_, known := u.known[digest]
	u.mu.Unlock()
	if known && ok {
		return who.rights
	}
	if !ok {
		who.hash = u.dummy
	}
	u.turns <- struct{}{}
	right := who.hash.matches(password)
	<-u.turns
	if !right || !ok {
		return 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.known) >= mostKnown {
		clear(u.known)
	}
	u.known[digest] = struct{}{}
	return who.rights
}

// Handler lets requests pass to h whose sender has the right to make them. It
// answers 401 to those who do not say who they are, or wrongly, and 403 to
// those without the right.
//
// A client says who it is with Basic, or with a Bearer token that is the name,
// a dot and the password.
func (u *Users) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, ok := r.BasicAuth()
		if !ok {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if strings.EqualFold(scheme, "Bearer") {
				name, password, ok = strings.Cut(token, ".")
			}
		}
		rights := Rights(0)
		if ok {
			rights = u.Check(name, password)
		}
		need := Write
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			need = Read
		}
		// HEAD is how a resumable upload asks how far it is.
		if r.Method == http.MethodHead && r.Header.Get("Tus-Resumable") != "" {
			need = Write
		}
		switch {
		case rights == 0:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q, charset=\"UTF-8\"", u.Realm))
			http.Error(w, "who are you?", http.StatusUnauthorized)
		case rights&need == 0:
			http.Error(w, "you may not do that", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}
