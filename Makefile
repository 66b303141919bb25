# make test: install what the tests need where that is allowed, then run all of
# them. make nightly: run the fuzz tests for long. make generate: write the
# generated files anew. make matrix: write the README's table of browsers anew.
# make figures: write the figures of bench/README.md anew, on a quiet machine, in
# about half an hour.

ACORN := acorn@8.19.0
# Each is a program, and its package where that has another name.
PROGRAMS := chromium firefox-esr WebKitWebDriver:webkit2gtk-driver Xvfb:xvfb \
	lynx w3m links2 elinks netsurf-fb curl nginx openssl npm node:nodejs
CLIENTS := demo/clients# a module of its own
PEERS := bench/peers# another
NCHANS := $(if $(NCHAN)$(wildcard /usr/lib/nginx/modules/ngx_nchan_module.so),nchan)
GENERATED := $(wildcard templates/*.qtpl.go) fallback/runtime.min.js
SCRIPTS := fallback/runtime.js fallback/runtime.min.js templates/site.js
WRITTEN := $(filter-out %.qtpl.go,$(shell git ls-files '*.go'))

.PHONY: test nightly install fresh format vet es3 race fuzz generate matrix figures

test: install fresh format vet es3 race fuzz

nightly: FUZZTIME := 60s
nightly: fuzz

# The programs that tests run come from the system's packages, where this user may
# install them. RUNLEVEL keeps nginx from being started as a service.
install:
	@missing=; \
	for program in $(PROGRAMS); do \
		[ -n "$$(PATH=$$PATH:/usr/sbin command -v $${program%:*})" ] || missing="$$missing $${program#*:}"; \
	done; \
	if [ -z "$$missing" ]; then \
		exit 0; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
	elif [ -n "$$CI" ]; then \
		echo "missing, and cannot be installed here:$$missing"; exit 1; \
	else \
		echo "missing, so the tests that need them will be skipped; install your system's packages:$$missing"; \
	fi

fresh:
	@before=$$(cat $(GENERATED) | sha256sum) && \
	$(MAKE) -s generate && \
	after=$$(cat templates/*.qtpl.go fallback/runtime.min.js | sha256sum) && \
	{ [ "$$before" = "$$after" ] || { echo "generated files were stale; they are fresh now: commit them"; exit 1; }; }
	@unknown=$$(git ls-files --others --exclude-standard -- '*.qtpl.go' '*.min.js'); \
	[ -z "$$unknown" ] || { echo "generated files that are not committed:" $$unknown; exit 1; }
	@echo "generated files: fresh"

# qtc tells every file that it compiles; what it says counts only if it fails.
generate:
	@output=$$(go generate ./... 2>&1) || { echo "$$output"; exit 1; }

format:
	@unformatted=$$(gofmt -l $(WRITTEN)); \
	[ -z "$$unformatted" ] || { echo "not formatted, run gofmt -w:" $$unformatted; exit 1; }

vet:
	go vet ./...
	go tool staticcheck ./...
	for module in $(CLIENTS) $(PEERS); do \
		(cd $$module && go vet ./... && $$(cd $(CURDIR) && go tool -n staticcheck) ./...) || exit 1; \
	done

# The browser's scripts are ECMAScript 3.
es3:
	@if command -v npm >/dev/null; then \
		for script in $(SCRIPTS); do npm exec --yes --package=$(ACORN) -- acorn --ecma3 --silent $$script || exit 1; done; \
		echo "scripts: ECMAScript 3"; \
	elif [ -n "$$CI" ]; then \
		echo "npm is missing: it brings the parser that checks the scripts"; exit 1; \
	else \
		echo "npm is missing, so the scripts are not checked"; \
	fi

race:
	go test -race -timeout 20m ./...
	cd $(CLIENTS) && go test -race ./...

# Every fuzz test of every package for so long, one on each processor at a time. What
# they find to be interesting goes away with the directory; what they find to be
# wrong is shown, as it was found. One whose seeds alone take that long gets a minute.
# Go's fuzzer may call the end of its time a failure; without an input it is none.
FUZZTIME := 5s
fuzz:
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && \
	for package in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		binary=$$directory/$$(echo $$package | tr / -).test && \
		go test -c -fuzz=. -o $$binary ./$$package && \
		$$binary -test.list '^Fuzz' | sed "s|^|$$binary |" || exit 1; \
	done >$$directory/all && \
	[ -s $$directory/all ] && \
	xargs -P $$(nproc) -n 2 sh -c ' \
		mkdir $$0-$$1 && cd $$0-$$1 && \
		for time in $(FUZZTIME) 60s; do \
			$$0 -test.run="^$$" -test.fuzz="^$$1$$" -test.fuzztime=$$time -test.fuzzminimizetime=0 -test.parallel=1 -test.fuzzcachedir=corpus >log 2>&1 || \
				{ grep -q "^    context deadline exceeded$$" log && [ ! -d testdata ]; } || break; \
			grep -q "now fuzzing" log && echo "$$1:$$(grep -o "execs: [0-9]*" log | tail -1 | cut -d: -f2) executions" && exit 0; \
		done; \
		cat log testdata/fuzz/*/* 2>/dev/null; echo "$$1 has failed or not begun"; exit 1' <$$directory/all

matrix:
	MATRIX=$(CURDIR)/README.md go test -count=1 -run TestEveryBrowserMakes ./demo

figures:
	cd $(PEERS) && go build -o bin/ ./...
	go run . bench --browser --duration 1s $(foreach peer,go-sse node $(NCHANS),--entrant $(PEERS)/$(peer).json) >$(PEERS)/bin/figures
	sed -i -e '/<!-- figures -->/,/<!-- .figures -->/{//!d}' bench/README.md
	(echo '```'; cat $(PEERS)/bin/figures; echo '```') >$(PEERS)/bin/fenced
	sed -i '/<!-- figures -->/r $(PEERS)/bin/fenced' bench/README.md
