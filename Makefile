# carbonio-check. Go, git and make are all it takes.

VERSION  ?= 0.2.0
GO       ?= go
BIN      := carbonio-check
# HTTP/2 is never spoken (docs/decisions.md), so it need not be in the binary.
TAGS     := nethttpomithttp2
LDFLAGS  := -s -w -X main.release=$(VERSION)
# The race detector needs a C compiler; without one the same tests run without it.
RACE     := $(shell command -v gcc >/dev/null 2>&1 && echo -race)
TOOL     := $(GO) tool -modfile=tools.mod
FUZZTIME ?= 20s
RUN      ?= .

.PHONY: build run demo test test-real lint bench bench-s3 bench-clusters fuzz clean

build: ## the static binary
	CGO_ENABLED=0 $(GO) build -trimpath -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/carbonio-check

run: build ## check this very machine; a red verdict is a verdict, not a failure of make
	./$(BIN) all || test $$? -ne 2

demo: build ## a made-up platform of 15 nodes: healthy and with faults, before the installation and after it
	./$(BIN) demo
	./$(BIN) demo --broken; test $$? -eq 1
	./$(BIN) demo --installed
	./$(BIN) demo --installed --broken; test $$? -eq 1

test: ## unit, golden, command-line and race tests; no root, no network
	@test -n "$(RACE)" || echo 'make test: no gcc: running without the race detector'
	$(GO) test $(RACE) ./...

test-real: ## against real servers on loopback, as root on Debian or Ubuntu: it installs what is missing, minutes the first time
	$(GO) test -tags real -count=1 -parallel 4 -timeout 30m -run '$(RUN)' ./fixtures/real/...

lint: ## golangci-lint, pinned in tools.mod: .golangci.yml; and that it builds for macOS
	$(TOOL) golangci-lint run ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/carbonio-check

bench: ## Go benchmarks and whole processes: docs/benchmarks.md
	$(GO) test -run '^$$' -bench . -benchtime 5x ./...

bench-s3: ## object storage, side by side with its peers; as root also behind 1 Gbit/s
	$(GO) run ./fixtures/real/bench

bench-clusters: ## Kafka, ZooKeeper, Patroni, LDAP and Consul, as root, side by side with their own tools
	$(GO) test -tags real -run '^$$' -bench . -benchtime 5x -timeout 20m ./fixtures/real

fuzz: ## every fuzz target for FUZZTIME
	@$(GO) list ./... | while read -r pkg; do \
	  $(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' | while read -r name; do \
	    echo "$$pkg $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done || exit 1; \
	done

clean:
	rm -f $(BIN)
