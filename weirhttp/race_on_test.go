//go:build race

package weirhttp

const underRace = true
