// Package weirhttp sends and receives files of any size over HTTP in small,
// bounded memory. Its handlers are plain [net/http] handlers.
package weirhttp
