package auth_test

import (
	"fmt"
	"log"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/weir-go/weir/weirhttp/auth"
)

func ExampleUsers_Check() {
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		log.Fatal(err)
	}
	users, err := auth.Parse(strings.NewReader("ann:" + string(hash) + ":r"))
	if err != nil {
		log.Fatal(err)
	}
	rights := users.Check("ann", "open sesame")
	fmt.Println("read:", rights&auth.Read != 0, "write:", rights&auth.Write != 0)
	// Output: read: true write: false
}

func TestRights_AreWhatTheLettersSay(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for letters, want := range map[string]auth.Rights{"r": auth.Read, "w": auth.Write, "rw": auth.Read | auth.Write} {
		users, err := auth.Parse(strings.NewReader("ann:" + string(hash) + ":" + letters))
		if err != nil {
			t.Fatal(err)
		}
		if got := users.Check("ann", "x"); got != want {
			t.Errorf("%s: %v, want %v", letters, got, want)
		}
		if got := users.Check("ann", "y"); got != 0 {
			t.Errorf("%s: %v with a wrong password", letters, got)
		}
	}
}
