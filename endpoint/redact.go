package endpoint

import "regexp"

// begin matches the beginning of a URL. filepath.Clean leaves one slash of
// "//".
const begin = `([A-Za-z][A-Za-z0-9+.-]*://|(?:https?|s3):/)`

var (
	// userInfo matches a user name and password in front of a host. A slash in a
	// password, which makes the URL invalid, makes its beginning look like a port
	// that is no number.
	userInfo = regexp.MustCompile(begin + `(?:[^\s"/?#]*@|[^\s"/?#:]*:[0-9]*[^\s"/?#0-9@][^\s"]*@)`)

	// query matches the query of a URL, in plain text and in JSON, which escapes
	// an ampersand.
	query = regexp.MustCompile(begin + `([^\s"'?#]*)\?(?:[^\s"'\\#]|\\u[0-9a-f]{4})+`)
)

// Redact returns text without the user names, passwords and queries of the URLs
// in it. A query becomes "?…". The text can be a URL, a message, or JSON. Use
// Redact only for output: the URLs in the result cannot be opened.
func Redact(text string) string {
	return query.ReplaceAllString(userInfo.ReplaceAllString(text, "$1"), "$1$2?…")
}
