//go:build race

package weirhttp

// raceDetector says that everything takes several times as long.
const raceDetector = true
