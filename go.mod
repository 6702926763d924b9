module github.com/weir-go/weir

go 1.26

require (
	github.com/klauspost/compress v1.20.3 // indirect
	go.uber.org/goleak v1.3.0 // indirect
)
