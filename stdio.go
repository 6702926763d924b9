package weir

import "os"

// Stdin begins a stream at standard input, which stays open.
func Stdin() Stream[byte] { return FromReader(KeepOpen(os.Stdin)).Named("stdin") }

// Stdout ends a stream at standard output, which stays open.
func Stdout() Sink[byte] {
	k := ToWriter(KeepOpen(os.Stdout))
	k.Name = "stdout"
	return k
}
