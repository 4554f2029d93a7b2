# What one types while working on evhttpd. `make help` lists it; .ci/run is everything that must hold.

GO      ?= go
FUZZTIME ?= 2m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
DATE    ?= $(shell git log -1 --format=%cI 2>/dev/null)
PLATFORMS ?= linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64

units = $(shell $(GO) list ./... | grep -Ev '/test(/|$$)')

.PHONY: help build check test test-all race soak faults fuzz attacks bench cover docs release clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the program, as ./evhttpd
	$(GO) build -o evhttpd ./cmd/evhttpd

check: ## format, vet and the packages' own tests: a minute, before every commit
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) test -short -p 4 $(units)

test: ## all tests in their short form; the last line says what was skipped
	@skips=$$(mktemp); EVHTTPD_TEST_SKIPS=$$skips $(GO) test -count=1 -p 3 ./test ./...; \
		code=$$?; bash .ci/skipped $$skips; rm -f $$skips; exit $$code

test-all: ## all tests in their long form: as root they boot machines and start a Docker engine
	@EVHTTPD_TEST=all $(MAKE) --no-print-directory test

race: ## all tests in their short form under the race detector
	$(GO) test -race -count=1 -p 3 ./test ./...

soak: ## 10,000,000 checked answers while all changes: SOAK_ANSWERS, SOAK_SECONDS, SOAK_UPGRADES, SOAK_SEED
	SOAK_ANSWERS=$${SOAK_ANSWERS:-10000000} $(GO) test -count=1 -v -timeout 0 -run '^TestSoak$$' ./test/soak

faults: ## every system call fails in every way: half an hour, as root; writes the tables of docs/reliability.md
	EVHTTPD_TEST=faults $(GO) test -count=1 -timeout 90m ./test/faults

fuzz: ## every target for FUZZTIME (2m), or one: make fuzz PKG=./http1 FUZZ=FuzzParse FUZZTIME=1h
	@if [ -n "$(FUZZ)" ]; then echo "$(PKG) $(FUZZ)"; else bash .ci/fuzztargets; fi | while read -r package target; do \
		echo "$$target of $$package: $(FUZZTIME)"; \
		$(GO) test "$$package" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x || exit; \
	done

bench: ## every IO model under every load, beside a control: make bench ARGS="--models epoll"
	$(GO) run ./cmd/evhttpd bench $(ARGS)

attacks: ## every kind of attack alone, then all together, for ATTACK_TIME (1h); as root, for the memory cgroup
	ATTACK_TIME=$${ATTACK_TIME:-1h} $(GO) test ./test/attacks -run TestWhole -count=1 -v -timeout 0

# What a peer's bytes and a file's bytes go through: 95 % of its statements at least.
core = http1/ conn/ sendfile/ poller/ internal/static/conditional.go internal/static/ranges.go

cover: ## coverage of the packages' own tests, as cover.html; fails where the core has less than 95 %
	$(GO) test -short -coverprofile cover.out $(units)
	$(GO) tool cover -html cover.out -o cover.html
	@$(GO) tool cover -func cover.out | tail -1
	@for part in $(core); do awk -v part="$$part" -F '[: ]' 'index($$1, "evhttpd/" part) && substr($$1, \
		index($$1, "evhttpd/" part) + length("evhttpd/" part)) !~ "/" { all += $$3; if ($$4) hit += $$3 } \
		END { printf "%-36s %5.1f %%\n", part, 100 * hit / all; exit 100 * hit < 95 * all }' cover.out || short=1; \
	done; [ -z "$$short" ]

docs: ## the tables in docs and the schema in configs, made from the code
	$(GO) test ./internal/config -run '^(TestDocs|TestSchemaFile)$$' -update

release: ## static binaries in dist/: make release VERSION=1.2.3
	@mkdir -p dist
	@set -e; for platform in $(PLATFORMS); do \
		file=dist/evhttpd-$(VERSION)-$$(echo $$platform | tr / -); echo $$file; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) build -trimpath -o $$file \
			-ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)" ./cmd/evhttpd; \
	done
	@cd dist && sha256sum evhttpd-$(VERSION)-* > SHA256SUMS

clean: ## what the targets above have made
	rm -rf evhttpd dist cover.out cover.html
