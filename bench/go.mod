module github.com/weir-go/weir/bench

go 1.26.0

replace github.com/weir-go/weir => ../

require (
	github.com/djherbis/buffer v1.2.1
	github.com/djherbis/nio/v3 v3.0.1
	github.com/klauspost/compress v1.20.3
	github.com/klauspost/pgzip v1.3.0
	github.com/samber/ro v0.3.0
	github.com/smallnest/ringbuffer v0.2.1
	github.com/sourcegraph/conc v0.3.0
	github.com/tus/tusd/v2 v2.9.1
	github.com/weir-go/weir v0.0.0
	golang.org/x/exp v0.0.0-20261113113407-e3970619a1a4
	golang.org/x/sys v0.50.0
)

require (
	github.com/samber/lo v1.52.0 // indirect
	go.uber.org/atomic v1.7.0 // indirect
	go.uber.org/multierr v1.9.0 // indirect
	golang.org/x/text v0.44.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)
