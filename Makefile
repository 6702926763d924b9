# Each target is one command a contributor may also type by hand.
.PHONY: check test e2e race fuzz bench bench-scale lint fmt cross release pictures

check: lint test race ## everything a change must pass

test:
	go test ./...

e2e: ## against servers of other people
	cd e2e && go test ./...

race:
	go test -race -shuffle=on ./...

lint: fmt
	go vet ./...
	go -C tools tool staticcheck -version >/dev/null
	go build -C tools -o /tmp/weir-staticcheck honnef.co/go/tools/cmd/staticcheck
	/tmp/weir-staticcheck ./...

fmt:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on the files above"; exit 1; }

cross:
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...
	GOARCH=386 go vet ./...
	.ci/windows
	.ci/arm64

fuzz:
	.ci/fuzz 30s

bench:
	cd bench && go run . -row items,send,map,bytes,turns,copy,recode,gzip,gunzip,zstd,unzstd,pgzip,allocations,accounting,memory,cli -md -o README.md
	cd bench && go run . -quick -row http -md -o SERVERS.md
	cd bench && go run . -n 3 -dir /dev/shm -row gzip-,gunzip- -md -o GZIP.md

pictures: ## the plots in the documentation, from a run on this machine
	go run ./cmd/weir lab ignore-write-result --report none --picture docs/lab.svg
bench-scale: ## object stores, beside rclone and aws where they are installed
	cd e2e && go test -count=1 -v -run '^$$' -bench Scale -benchtime 1x .

release: ## archives, Debian packages and checksums, into dist/
	go -C tools run ./release
