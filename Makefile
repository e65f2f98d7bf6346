# kvs. What people type: make, make run, make image, make test, make docker-test, make bench, make fuzz,
# make tidy, make clean.
#
# TLS=1 builds with mbedTLS. VARIANT picks how everything is built: release; asan (with UBSan, what the
# tests run); unsigned (asan with unsigned char, as on arm64); clang (asan by the other compiler); static
# (release for the image). Asserts stay on in all of them: a wrong state must end, not spread.

comma   := ,
PYTHON  ?= python3
VARIANT ?= release
OUT     := build/$(VARIANT)$(if $(TLS),-tls)
LDLIBS  := $(if $(TLS),-lmbedtls -lmbedx509 -lmbedcrypto)

SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_release  := -O3 -g $(if $(findstring clang,$(CC)),,-flto=auto)
CFLAGS_asan     := $(SANITIZE)
CFLAGS_unsigned := $(SANITIZE) -funsigned-char
CFLAGS_clang    := $(SANITIZE)
CFLAGS_sim      := -O2 -g
CFLAGS_static   := $(CFLAGS_release)

# ld warns that getaddrinfo() may load libraries. It need not: /etc/hosts and DNS are in libc.a since
# glibc 2.34, and an image asks nothing else. An old ld cannot be told to keep the warning to itself.
LDFLAGS_static = -static -s $(if $(findstring --no-warnings,$(shell ld --help 2>/dev/null)),-Wl$(comma)--no-warnings)

ifeq ($(VARIANT),clang)
override CC := clang
else ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS   ?= $(CFLAGS_$(VARIANT))
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
COMPILE  := $(CC) -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) -MMD -MP $(CFLAGS)

# Core: pure, no socket, clock, file or random source. Shell: what touches the machine.
CORE    := bytes crc hash crc32c sha256 utf8 json http address vclock metadata notes frame record shard store wire wire_hello \
           part maps row redo link peer handshake kept under_way replica deliver broadcast handover catchup cluster \
           recover change wire_op forward guests parked pairs serve node listing origins metrics api
EDGE    := log tls_$(if $(TLS),mbed,none) sock reactor greed listener resolve worker disk datadir logread logfile restart \
           compaction journal inspect load links alarm refused exchanges server config startup health_check
OBJECTS := $(patsubst %,$(OUT)/%.o,$(CORE) $(EDGE))

.PHONY: all run test unit sim sim-build soak mutants image docker-test bench bench-full bench-tls bench-reshard fuzz fuzz-build replay tidy clean FORCE
.SECONDARY:

ifeq ($(VARIANT),release)
all: kvs

kvs: $(OUT)/kvs FORCE
	@cmp -s $< $@ || cp $< $@
else
all: $(OUT)/kvs
endif

$(OUT)/kvs: $(OUT)/kvs.o $(OBJECTS)
	$(COMPILE) $(LDFLAGS_$(VARIANT)) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

run: kvs
	@./run.sh

# ---- The image ----

IMAGE ?= kvs

# What `docker build .` gives, but from a binary of this machine: for where no base image can be had.
image:
	@$(MAKE) -s VARIANT=static all
	@rm -rf build/image && mkdir -p build/image/data
	@cp build/static/kvs build/image/
	@sed -n -e 's|--from=build ||' -e 's|/image/||' -e '/^FROM scratch/,$$p' Dockerfile >build/image/Dockerfile
	docker build -q -t $(IMAGE) build/image

docker-test:
	$(PYTHON) tests/run.py docker

# ---- Tests ----

test:
	@if command -v $(PYTHON) >/dev/null; then $(PYTHON) tests/run.py; else tests/without_python.sh; fi

UNITS := $(patsubst tests/test_%.c,$(OUT)/tests/test_%,$(wildcard tests/test_*.c))

unit: $(UNITS) $(OUT)/tests/check_history

$(OUT)/tests/test_%: $(OUT)/tests/test_%.o $(OUT)/tests/kit.o $(OBJECTS)
	$(COMPILE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# It brings a node of its own.
$(OUT)/tests/test_links: $(patsubst %,$(OUT)/%.o,tests/test_links tests/kit links listener greed resolve reactor sock tls_none log address bytes)
	$(COMPILE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The causal checker: a history in, a verdict out; docs/checker.md.
$(OUT)/tests/test_checker: $(OUT)/tests/checker.o
$(patsubst %,$(OUT)/tests/test_%,cluster schedules handover forward handshake): $(OUT)/tests/net.o
$(OUT)/tests/test_sim_net: $(patsubst %,$(OUT)/tests/%.o,sim_net sim_base)
$(OUT)/tests/check_history: $(patsubst %,$(OUT)/%.o,tests/check_history tests/checker bytes crc hash)
	$(COMPILE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

check_history: $(OUT)/tests/check_history
	cp $< $@

# ---- The simulator: docs/sim.md ----

SIM := $(patsubst %,$(OUT)/tests/%.o,sim sim_base sim_net sim_truth sim_host sim_disk sim_maps sim_request sim_client sim_check \
	sim_fault checker kit) $(CORE:%=$(OUT)/%.o)

$(OUT)/sim: $(SIM)
	$(COMPILE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

sim-build: $(OUT)/sim

sim:
	@test -n "$(SEED)" || { echo "make sim SEED=n: replays one seed"; exit 2; }
	@$(MAKE) -s VARIANT=sim sim-build
	build/sim/sim $(SEED)

soak:
	@test -n "$(SECONDS)" || { echo "make soak SECONDS=n: random seeds for so long"; exit 2; }
	@$(MAKE) -s VARIANT=sim sim-build
	build/sim/sim --soak $(SECONDS)

mutants:
	$(PYTHON) tests/mutants.py

# ---- Fuzzing: libFuzzer where clang has it, and a plain main that replays the corpus ----

FUZZ_TARGETS := $(patsubst tests/fuzz_%.c,%,$(filter-out tests/fuzz_main.c,$(wildcard tests/fuzz_*.c)))
FUZZ_SECONDS ?= 60
FUZZ_COMPILE := clang -std=c11 -D_GNU_SOURCE -pthread -O1 -g -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=all

fuzz-build: $(FUZZ_TARGETS:%=build/fuzz/%)

build/fuzz/%: tests/fuzz_%.c $(CORE:%=%.c) $(wildcard *.h)
	@mkdir -p $(@D)
	$(FUZZ_COMPILE) -o $@ $< $(CORE:%=%.c)

fuzz: fuzz-build
	@for t in $(FUZZ_TARGETS); do mkdir -p build/corpus/$$t && \
	  build/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$t- build/corpus/$$t tests/corpus/$$t || exit 1; done

replay: $(FUZZ_TARGETS:%=$(OUT)/tests/replay_%)

$(OUT)/tests/replay_%: $(OUT)/tests/fuzz_%.o $(OUT)/tests/fuzz_main.o $(OBJECTS)
	$(COMPILE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- Bench ----

BENCH := $(patsubst %,build/bench/%,kvs kvs-bench load bare)

build/bench/kvs-bench: build/release/bench/kvs-bench.o $(OBJECTS)
build/bench/kvs: build/release/kvs.o $(OBJECTS)
build/bench/load: $(patsubst %,build/release/bench/%.o,load reply histogram)
build/bench/bare: build/release/bench/bare.o
$(BENCH):
	@mkdir -p $(@D)
	$(COMPILE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Beside the plain one, where there is mbedTLS.
bench-tls:
	@mkdir -p build/bench
	@if ! echo '\#include <mbedtls/ssl.h>' | $(CC) -E - >/dev/null 2>&1; then rm -f build/bench/kvs-bench-tls; \
	else $(MAKE) -s VARIANT=release TLS=1 build/release-tls/bench/kvs-bench && \
	  cp build/release-tls/bench/kvs-bench build/bench/kvs-bench-tls; fi

$(OUT)/bench/kvs-bench: $(OUT)/bench/kvs-bench.o $(OBJECTS)
	$(COMPILE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

bench: $(BENCH) bench-tls
	$(PYTHON) bench/run.py

bench-full: $(BENCH) bench-tls
	$(PYTHON) bench/run.py --full

bench-reshard: $(BENCH)
	$(PYTHON) bench/reshard.py

# ---- Housekeeping ----

tidy:
	$(PYTHON) tests/tidy.py

clean:
	rm -rf build kvs check_history

-include $(shell find build -name '*.d' 2>/dev/null)
