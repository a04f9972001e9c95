# Tests. Each target can be run alone; `make check` is what a change must pass.

.PHONY: check check-unit check-stage check-scenario check-golden check-abi check-interop fuzz layers size symbols

check: ## install what is missing, build, run every test that needs Debian packages and PyPI/npm SDKs only
	@./tests/tools/deps.sh all
	@$(MAKE) --no-print-directory check-quick check-scenario
	@echo "make check: passed"

.PHONY: check-quick
check-quick: all layers size symbols check-unit check-stage check-abi check-golden check-fuzz

# --- unit: tests/unit mirrors the tree; every test_*.c is one cmocka program ----------------------
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)
UNIT_HELP := $(wildcard tests/unit/support/*.c)
UNIT_HELP_OBJ := $(UNIT_HELP:%.c=$(BUILD)/obj/%.o)
ORACLE_OBJ := $(patsubst tests/unit/oracle/%.proto,$(BUILD)/obj/oracle/%.pb-c.o,$(wildcard tests/unit/oracle/*.proto))

$(BUILD)/obj/oracle/%.pb-c.o: tests/unit/oracle/%.proto
	@mkdir -p $(BUILD)/gen/oracle $(@D)
	protoc-c --proto_path=tests/unit/oracle --c_out=$(BUILD)/gen/oracle $<
	$(CC) -std=c11 $(OPT) $(SANFLAGS) -I$(BUILD)/gen/oracle -c -o $@ $(BUILD)/gen/oracle/$*.pb-c.c

$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/libweir.a $(UNIT_HELP_OBJ) $(ORACLE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -I$(BUILD)/gen/oracle -MMD -MP -MT $@ -MF $(BUILD)/obj/unit_$(subst /,_,$*).d -o $@ $< $(UNIT_HELP_OBJ) $(ORACLE_OBJ) $(BUILD)/libweir.a $(HOST_LIBS) -lcmocka

# What the code of a stage needs that a test or a fuzz target compiles in.
$(BUILD)/tests/unit/extensions/test_basicauth $(BUILD)/tests/fuzz/fuzz_auth: HOST_LIBS += -lcrypt -lmd

# Tests of the kit link it, as stages do.
UNIT_KIT_BIN := $(filter $(BUILD)/tests/unit/kit/%,$(UNIT_BIN))
$(UNIT_KIT_BIN): $(KIT_LIB)
$(UNIT_KIT_BIN): HOST_LIBS := $(KIT_LIB) $(HOST_LIBS)
# And of a stage's parts: the objects of its .so.
PROMETHEUS_OBJ := $(patsubst %.c,$(BUILD)/obj/%.pic.o,$(wildcard exporters/prometheus/*.c))
$(BUILD)/tests/unit/exporters/test_prometheus_scrape: $(PROMETHEUS_OBJ) $(KIT_LIB)
$(BUILD)/tests/unit/exporters/test_prometheus_scrape: HOST_LIBS := $(PROMETHEUS_OBJ) $(KIT_LIB) $(HOST_LIBS) -lz

TAIL_POLICY_OBJ := $(patsubst %.c,$(BUILD)/obj/%.pic.o,processors/tail_sampling/config.c $(wildcard processors/tail_sampling/policy*.c))
TAIL_POLICY_BIN := $(filter $(BUILD)/tests/unit/processors/test_tail_policy%,$(UNIT_BIN))
$(TAIL_POLICY_BIN) $(BUILD)/bench/micro_tail_policy: $(TAIL_POLICY_OBJ) $(KIT_LIB)
$(TAIL_POLICY_BIN) $(BUILD)/bench/micro_tail_policy: HOST_LIBS := $(TAIL_POLICY_OBJ) $(KIT_LIB) $(HOST_LIBS)

JOURNAL_OBJ := $(patsubst %.c,$(BUILD)/obj/%.pic.o,$(wildcard processors/tail_sampling/journal*.c))
$(BUILD)/tests/unit/processors/test_tail_journal: $(JOURNAL_OBJ) $(KIT_LIB)
$(BUILD)/tests/unit/processors/test_tail_journal: HOST_LIBS := $(JOURNAL_OBJ) $(KIT_LIB) $(HOST_LIBS)

# Tail sampling: what holds traces, with a malloc that fails when told (support/failing_alloc.h).
ALLOC_WRAP := $(foreach f,malloc calloc realloc free,-Wl$(,)--wrap=$(f))
TAIL_STORE_OBJ := $(patsubst %,$(BUILD)/obj/processors/tail_sampling/%.pic.o,index memory store store_pack store_pairs store_segment table)
TAIL_STORE_BIN := $(patsubst %,$(BUILD)/tests/unit/processors/test_tail_%,store table memory)
$(TAIL_STORE_BIN) $(BUILD)/tests/fuzz/fuzz_tail_store $(BUILD)/bench/micro_tail_store: $(TAIL_STORE_OBJ) $(KIT_LIB)
$(TAIL_STORE_BIN) $(BUILD)/tests/fuzz/fuzz_tail_store $(BUILD)/bench/micro_tail_store: HOST_LIBS := $(TAIL_STORE_OBJ) $(KIT_LIB) $(HOST_LIBS)
$(BUILD)/tests/unit/processors/test_tail_policy_memory: HOST_LIBS += $(ALLOC_WRAP)
$(TAIL_STORE_BIN): HOST_LIBS += $(ALLOC_WRAP)
FUZZ_OBJ_fuzz_tail_store := $(TAIL_STORE_OBJ)
$(BUILD)/tests/unit/processors/test_tail_store: HOST_LIBS += -Wl,--wrap=ZSTD_createCCtx -Wl,--wrap=ZSTD_createDCtx

check-unit: all $(UNIT_BIN) ## unit tests (cmocka)
	@tests/tools/run_all.sh unit $(BUILD) $(UNIT_BIN)

# --- stage: the real .so on the harness, with a virtual clock -------------------------------------
STAGE_TEST_SRC := $(wildcard tests/stage/test_*.c)
STAGE_TEST_BIN := $(STAGE_TEST_SRC:tests/stage/%.c=$(BUILD)/tests/stage/%)
HARNESS_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/stage/harness*.c))

$(BUILD)/tests/stage/%: tests/stage/%.c $(BUILD)/libweir.a $(HARNESS_OBJ)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -o $@ $< $(HARNESS_OBJ) $(BUILD)/libweir.a $(HOST_LIBS) -lcmocka

# What it sends is read with protobuf-c.
RW_ORACLE := $(BUILD)/obj/oracle/remote_write.pb-c.o
$(BUILD)/tests/stage/test_exporter_prometheus_remote_write: $(RW_ORACLE)
$(BUILD)/tests/stage/test_exporter_prometheus_remote_write: HARNESS_OBJ += $(RW_ORACLE)
$(BUILD)/tests/stage/test_exporter_prometheus_remote_write: HOST_CFLAGS += -I$(BUILD)/gen/oracle

$(BUILD)/tests/stage/test_harness: $(BUILD)/tests/scenario/holder.so

$(BUILD)/tests/stage/test_processor_tail_sampling_properties $(BUILD)/tests/stage/test_processor_tail_sampling_hostile: HARNESS_OBJ += $(KIT_LIB)

$(BUILD)/bench/micro_tail_steps: $(HARNESS_OBJ) $(KIT_LIB)
$(BUILD)/bench/micro_tail_steps: HOST_LIBS := $(HARNESS_OBJ) $(KIT_LIB) $(BUILD)/libweir.a $(HOST_LIBS) -lcmocka

check-stage: all $(STAGE_TEST_BIN) ## each stage's .so on the harness
	@tests/tools/run_all.sh stage $(BUILD) $(STAGE_TEST_BIN)

# --- fuzz: libFuzzer targets (clang); their corpora run in check with any compiler ----------------
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_RUN := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/tests/fuzz/%)

$(BUILD)/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(wildcard tests/fuzz/*.h) $(BUILD)/libweir.a
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -MMD -MP -MT $@ -MF $(BUILD)/obj/fuzz_$*.d -o $@ tests/fuzz/replay.c $< $(BUILD)/libweir.a $(HOST_LIBS)

$(BUILD)/tests/fuzz/fuzz_prom $(BUILD)/tests/fuzz/fuzz_remote_write $(BUILD)/tests/fuzz/fuzz_tracestate: $(KIT_LIB)
$(BUILD)/tests/fuzz/fuzz_prom $(BUILD)/tests/fuzz/fuzz_remote_write $(BUILD)/tests/fuzz/fuzz_tracestate: HOST_LIBS := $(KIT_LIB) $(HOST_LIBS)

.PHONY: check-fuzz
check-fuzz: all $(FUZZ_RUN) ## replay the fuzz corpora
	@for f in $(FUZZ_RUN); do n=$$(basename $$f); $$f tests/fuzz/corpus/$$n || exit 1; done

FUZZ_SECONDS ?= 60
fuzz: ## run each libFuzzer target for FUZZ_SECONDS (needs clang)
	@tests/tools/fuzz.sh $(FUZZ_SECONDS)

# --- the other kinds --------------------------------------------------------------------------------
check-golden: all ## bad configurations and manual pages, byte for byte
	@tests/golden/run.sh $(BUILD)

check-abi: all ## deliberately bad plugins and their messages
	@tests/abi/run.sh $(BUILD)

# --- scenario: stages that only tests have, then the runner ----------------------------------------------
TEST_SO := $(patsubst tests/scenario/stages/%.c,$(BUILD)/tests/scenario/%.so,$(wildcard tests/scenario/stages/*.c))
$(BUILD)/tests/scenario/%.so: tests/scenario/stages/%.c $(wildcard include/weir/*.h)
	@mkdir -p $(@D)
	$(CC) $(STAGE_CFLAGS) -shared $(NODEFS) -o $@ $<

check-scenario: all $(TEST_SO) ## the real binary on real sockets, with the official SDKs
	@tests/scenario/run.sh $(BUILD)

# What CI runs in a sanitizer build: make SAN=address check-san, make SAN=thread check-san
.PHONY: check-san check-build
check-san: ## the same tests as check, in a build with sanitizers (SAN=address or SAN=thread)
	@[ -n "$(SAN)" ] || { echo "make check-san: say SAN=address or SAN=thread"; exit 1; }
	@./tests/tools/deps.sh all
	@$(MAKE) --no-print-directory check-quick check-scenario
	@echo "make check-san: passed ($(SAN))"

check-build: all $(UNIT_BIN) $(STAGE_TEST_BIN) $(FUZZ_RUN) $(TEST_SO) $(BUILD)/tests/interop/tail_run ## compile all that the tests run, run nothing

# --- interop -------------------------------------------------------------------------------------------
# Runs cases of the differential test of tail_sampling on the stage harness.
TAIL_RUN := $(BUILD)/tests/interop/tail_run
$(TAIL_RUN): tests/interop/tail_run.c $(BUILD)/libweir.a $(HARNESS_OBJ)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -MMD -MP -MT $@ -MF $(BUILD)/obj/tail_run.d -o $@ $< $(HARNESS_OBJ) $(BUILD)/libweir.a $(HOST_LIBS) -lcmocka

check-interop: all $(TAIL_RUN) ## real back ends and peers (Go modules, cached outside the tree)
	@tests/interop/run.sh $(BUILD)

layers: ## who includes whom
	@tests/tools/layers.sh
size: ## functions under 80 lines, files under 600
	@tests/tools/size.sh
symbols: $(BUILD)/weir stages template engines ## each stage exports one symbol
	@tests/tools/symbols.sh $(BUILD)
