package endpoint

import (
	"regexp"
	"strings"
	"sync"
)

// begin matches the beginning of a URL. filepath.Clean leaves one slash of
// "//".
const begin = `([A-Za-z][A-Za-z0-9+.-]*://|(?i:https?|s3|nats|tls):/)`

var (
	// userInfo matches a user name and password in front of a host. A slash in a
	// password, which makes the URL invalid, makes its beginning look like a port
	// that is no number.
	userInfo = compiled(begin + `(?:[^\s"/?#]*@|[^\s"/?#:]*:[0-9]*[^\s"/?#0-9@][^\s"]*@)`)

	// query matches the query of a URL, in plain text and in JSON, which escapes
	// an ampersand.
	query = compiled(begin + `([^\s"'?#]*)\?(?:[^\s"'\\#]|\\u[0-9a-f]{4})+`)
)

// secretField is a field of the header of a request that holds a secret.
var secretField = compiled(`(?i)\b((?:proxy-)?authorization|cookie|x-api-key|x-auth-token|x-amz-security-token|private-token)(:\s*)(?:[^\r\n"\\]|\\.)+`)

// compiled compiles an expression when it is first used. A program that prints no URL does
// not pay for it.
func compiled(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// Redact returns text without the user names, passwords and queries of the URLs
// in it, and without the values of header fields that are secret by their name,
// such as Authorization. A query becomes "?…", and a value "…". The text can be a
// URL, a message, an argument, or JSON. Use Redact only for output: the URLs in the
// result cannot be opened.
func Redact(text string) string {
	if strings.Contains(text, ":/") {
		text = query().ReplaceAllString(userInfo().ReplaceAllString(text, "$1"), "$1$2?…")
	}
	if strings.Contains(text, ":") {
		text = secretField().ReplaceAllString(text, "$1$2…")
	}
	return text
}
