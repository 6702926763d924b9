package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// hash is a password in hashed form.
type hash interface {
	matches(password string) bool
	cost() int64 // about the time that matches takes, in KiB of memory that argon2id passes over
}

// The cost of a hash made here, as OWASP recommends it: 19 MiB, two passes.
const (
	hashMemory = 19 << 10 // KiB
	hashPasses = 2
	maxMemory  = 256 << 10 // KiB, of a hash made elsewhere
)

// Hash makes the argon2id hash of a password (RFC 9106), in the usual form. The
// error is always nil.
func Hash(password string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	sum := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, 1, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, hashMemory, hashPasses, b64(salt), b64(sum)), nil
}

type argonHash struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func (h argonHash) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

func (h argonHash) cost() int64 { return int64(h.memory) * int64(h.passes) }

type bcryptHash string

func (h bcryptHash) matches(password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(h), []byte(password)) == nil
}

// cost takes a round of bcrypt to last about as long as 64 KiB of argon2id, which
// is near enough to tell which of two hashes is the slower one.
func (h bcryptHash) cost() int64 {
	n, _ := bcrypt.Cost([]byte(h)) // parseHash has read it before
	return 64 << n
}

func parseHash(text string) (hash, error) {
	switch {
	case strings.HasPrefix(text, "$2"):
		cost, err := bcrypt.Cost([]byte(text))
		if err != nil {
			return nil, err
		}
		if cost > 16 {
			return nil, fmt.Errorf("bcrypt cost %d takes seconds; use 16 or less", cost)
		}
		return bcryptHash(text), nil
	case strings.HasPrefix(text, "$argon2id$"):
		return parseArgon(text)
	}
	return nil, errors.New("neither argon2id nor bcrypt")
}

func parseArgon(text string) (hash, error) {
	parts := strings.Split(text, "$") // "", argon2id, v=19, m=…, salt, sum
	if len(parts) != 6 || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, errors.New("not argon2id of version 19")
	}
	var h argonHash
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil {
		return nil, fmt.Errorf("invalid costs %q", parts[3])
	}
	if h.memory == 0 || h.memory > maxMemory || h.passes == 0 || h.passes > 16 || h.lanes == 0 {
		return nil, fmt.Errorf("costs %q out of bounds", parts[3])
	}
	var err, serr error
	h.salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, serr = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || serr != nil || len(h.salt) < 8 || len(h.sum) < 16 {
		return nil, errors.New("invalid salt or sum")
	}
	return h, nil
}
