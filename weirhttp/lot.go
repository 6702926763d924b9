package weirhttp

// sleeper is a parked download, as far as the lot knows it.
type sleeper interface {
	conn() *conn
	run() // called in its own goroutine when the client can receive more
}
