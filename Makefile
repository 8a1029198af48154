# Needs Python 3.11 or newer and a package registry; tests and benchmark need Node 20 or newer, too.
#
# Paths are relative throughout: make cannot name targets in a folder with a space in its name, and
# the checkout may be in one. Nothing here goes beyond POSIX sh and GNU Make 3.81 (macOS).

PYTHON ?=

REQUIREMENTS = setup.cfg pyproject.toml requirements/$(1).txt
PEER := bench/peers/node/node_modules/.complete
TYPES := clients/typescript/node_modules/.complete

# A virtual environment is no use when work on it was cut off, when it was made in a folder of
# another name (it holds absolute paths) or when its Python is gone: then it is made anew.
STALE := $(shell { [ ! -e .venv/unfinished ] && [ "`cat .venv/folder`" = "`pwd -P`" ] && \
	.venv/bin/python -c ''; } 2>/dev/null || echo stale)

.PHONY: help run test bench chaos fuzz rights setup types format lock audit clean stale

help:
	@echo 'make run      start the server, set up what it needs first (make run PORT=8081)'
	@echo 'make test     check format, lint, types and behaviour, set up what that needs first'
	@echo 'make bench    measure beside other servers, half an hour (make bench QUICK=1: four minutes)'
	@echo 'make chaos    kill, freeze and cut off servers and stores under load (make chaos ROUNDS=50 SEED=1)'
	@echo 'make fuzz     look for packets, frames and payloads that break the server (make fuzz SECONDS=600)'
	@echo 'make rights   turn each cell of the table of rights round, and see whether a test fails'
	@echo 'make setup    only set up, for the server and the tests'
	@echo 'make types    make the TypeScript types in clients/typescript anew, from what the code says'
	@echo 'make format   format the code and mend what the linter can'
	@echo 'make lock     pin every package anew, from setup.cfg and the package.json files'
	@echo 'make audit    look for known vulnerabilities in every package that is pinned'
	@echo 'make clean    remove what was set up'
	@echo 'PYTHON=/path/to/python3 names the Python to set up with.'

run: .venv/run
	@exec .venv/bin/python -m realtime serve

# Types are checked beside the tests, and told after them. The tests are collected once before four
# processes do it: so one of them compiles all modules, and all have them, wherever the shell says
# that Python shall not keep what it compiled. Each file of tests goes to one process, or
# what its tests share would be started by several.
test: setup
	.venv/bin/python -m ruff format --check --quiet .
	.venv/bin/python -m ruff check --quiet .
	@unset PYTHONDONTWRITEBYTECODE; \
		.venv/bin/python -m mypy > .venv/types.txt 2>&1 & types=$$!; \
		trap 'kill $$types; exit 130' INT TERM; \
		.venv/bin/python -m pytest -qq --collect-only > .venv/collected.txt 2>&1; \
		set -- --quiet --numprocesses 4 --dist loadfile --no-loadscope-reorder; \
		echo .venv/bin/python -m pytest "$$@"; \
		.venv/bin/python -m pytest "$$@"; behaviour=$$?; \
		echo .venv/bin/python -m mypy; \
		wait $$types; types=$$?; \
		cat .venv/types.txt; \
		exit $$((behaviour || types))

# On core 0 and core 1, where nothing else should run meanwhile.
bench: $(PEER) .venv/bench
	@exec .venv/bin/python -m bench $(if $(QUICK),--quick)

# Also: CLIENTS, SECONDS of a round; PUBLISH=1 puts the table into docs/reliability.md. Instead of
# rounds, BREAKAGES=1 starts broken servers and sees whether that is noticed, and STORM=5000 has so
# many clients come back at once.
chaos: .venv/run
	@exec .venv/bin/python -m chaos $(if $(PUBLISH),--publish) $(if $(SEED),--seed $(SEED)) \
		$(if $(BREAKAGES),--breakages) $(if $(STORM),--storm $(STORM)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(CLIENTS),--clients $(CLIENTS)) \
		$(if $(SECONDS),--seconds $(SECONDS))

# Each of the targets for so many seconds. KEEP=1 adds what reaches something new to tests/fuzz/corpus.
fuzz: .venv/fuzzer
	@exec .venv/bin/python -m tests.fuzz.guided $(if $(SECONDS),--seconds $(SECONDS)) $(if $(KEEP),--keep)

rights: setup
	@exec .venv/bin/python -m tests.handlers.mutated

setup: tests/js/node_modules/.complete $(PEER) $(TYPES) .venv/test

FUZZES := import platform, sys; \
	sys.exit((sys.platform, platform.machine()) != ("linux", "x86_64") or sys.version_info >= (3, 14))

DOCUMENTS := import json; from realtime.http.documents.asyncapi import asyncapi; \
	from realtime.http.documents.openapi import openapi; \
	print(json.dumps({"asyncapi": asyncapi(), "openapi": openapi()}))

types: .venv/run $(TYPES)
	.venv/bin/python -c '$(DOCUMENTS)' | node clients/typescript/generate.mjs > .venv/protocol.d.ts
	mv .venv/protocol.d.ts clients/typescript/protocol.d.ts

format: .venv/test
	.venv/bin/python -m ruff format .
	.venv/bin/python -m ruff check --fix .

# requirements/ has, for each purpose, every package with its version and the hashes of its wheels for
# all platforms: fuzz.txt has all of them, the others some.
LOCKER := uv==0.13.8
AS_PINNED := --constraint requirements/fuzz.txt

define pin
sed -n 's/.*"\(setuptools==[0-9.]*\)".*/\1/p' pyproject.toml | .venv/lock/bin/uv pip compile setup.cfg - \
	--quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links $(2) --output-file requirements/$(1).txt
endef

lock: .venv/folder
	.venv/bin/python -m venv --clear .venv/lock
	.venv/lock/bin/python -m pip install --quiet --disable-pip-version-check --no-input $(LOCKER)
	$(call pin,fuzz,--upgrade --extra bench --extra embedded --extra fuzz --extra test)
	$(call pin,test,$(AS_PINNED) --extra bench --extra embedded --extra test)
	$(call pin,bench,$(AS_PINNED) --extra bench --extra embedded)
	$(call pin,run,$(AS_PINNED) --extra embedded)
	rm -rf .venv/lock tests/js/package-lock.json bench/peers/node/package-lock.json clients/typescript/package-lock.json
	cd tests/js && npm install --package-lock-only --no-audit --no-fund
	cd bench/peers/node && npm install --package-lock-only --no-audit --no-fund
	cd clients/typescript && npm install --package-lock-only --no-audit --no-fund

# Asks PyPI and npm about every pinned package, with either version of cryptography that setup.cfg has.
# A package that cannot be looked up fails, too: not to know is not to be safe.
AUDITOR := pip-audit==2.10.1
NODE_PARTS := tests/js bench/peers/node clients/typescript

audit: .venv/auditor
	@for cryptography in `sed -n 's/^ *\(cryptography==[0-9.]*\).*/\1/p' setup.cfg`; do \
		{ sed -n 's/^\([^ ]*==[^ ;]*\).*/\1/p' requirements/fuzz.txt | grep -v '^cryptography=='; \
			echo "$$cryptography"; } > .venv/audited.txt; \
		echo "Looking up the Python packages, with $$cryptography"; \
		.venv/audit/bin/python -m pip_audit --strict --no-deps --disable-pip --progress-spinner off \
			--requirement .venv/audited.txt || { \
			echo 'Python packages with known vulnerabilities are listed above. Where none is, they' >&2; \
			echo 'could not be looked up: this needs https://pypi.org, a mirror does not do.' >&2; \
			exit 1; \
		}; \
	done
	@for folder in $(NODE_PARTS); do \
		echo "Looking up the packages of $$folder"; \
		(cd $$folder && npm audit --package-lock-only) || { \
			echo "Packages of $$folder with known vulnerabilities are listed above. Where none is, they" >&2; \
			echo 'could not be looked up: this needs npm, and https://registry.npmjs.org.' >&2; \
			exit 1; \
		}; \
	done

.venv/auditor: .venv/folder Makefile
	.venv/bin/python -m venv --clear .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check --no-input $(AUDITOR)
	@touch .venv/auditor

clean:
	rm -rf .venv tests/js/node_modules bench/peers/node/node_modules clients/typescript/node_modules bench/quick
	rm -rf *.egg-info .mypy_cache .pytest_cache .ruff_cache

.venv/run: .venv/folder $(call REQUIREMENTS,run)
	$(call install,run)
	@touch .venv/run

.venv/test: .venv/folder $(call REQUIREMENTS,test)
	$(call install,test)
	@touch .venv/run .venv/bench .venv/test

.venv/fuzzer: .venv/test $(call REQUIREMENTS,fuzz)
	@.venv/bin/python -c '$(FUZZES)' || { \
		echo 'Fuzzing needs atheris, which there is for Linux on x86-64 with Python 3.11 to 3.13.' >&2; \
		echo '`make test` tries the corpus and mutilated inputs of it everywhere.' >&2; \
		exit 1; \
	}
	$(call install,fuzz)
	@touch .venv/fuzzer

.venv/bench: .venv/folder $(call REQUIREMENTS,bench)
	$(call install,bench)
	@touch .venv/run .venv/bench

# SecantusDB has no package for Python 3.14 and newer, so these come last.
PYTHONS := $(if $(PYTHON),'$(PYTHON)',python3 python3.13 python3.12 python3.11 python3.14 python)
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, int(sys.argv[1])))

.venv/folder: $(STALE)
	@for below in 14 99; do \
		for python in $(PYTHONS); do \
			"$$python" -c '$(SUITABLE)' $$below 2>/dev/null && break 2; \
			python=; \
		done; \
	done; \
	if [ -z "$$python" ]; then \
		echo 'No $(or $(PYTHON),python3) here is Python 3.11 or newer and can make virtual environments.' >&2; \
		echo 'Install one (Debian, Ubuntu: apt install python3-venv) or name one by PYTHON=.' >&2; \
		exit 1; \
	fi; \
	echo "Making .venv with `"$$python" --version`"; \
	"$$python" -m venv --clear .venv && pwd -P > .venv/folder

# Nothing is built from source, as what that needs would come without hashes; setuptools, which
# builds this package, is among them.
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input

define install
@echo 'Installing into .venv (a minute, the first time)'
@touch .venv/unfinished
@$(PIP) --require-hashes --only-binary :all: --requirement requirements/$(1).txt
@$(PIP) --no-deps --no-build-isolation --editable .
@rm .venv/unfinished
endef

%/node_modules/.complete: %/package.json %/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' && npm --version > /dev/null || { \
		echo 'Tests and benchmark need Node 20 or newer with npm, for what is in $*.' >&2; \
		exit 1; \
	}
	@echo 'Installing into $*/node_modules'
	@cd $* && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@
