# Benchmarks: `make bench` runs them all and prints the table for bench/results.md.
BENCH_SRC := $(wildcard bench/*.c)
BENCH_BIN := $(BENCH_SRC:bench/%.c=$(BUILD)/bench/%)

$(BUILD)/bench/%: bench/%.c $(BUILD)/libweir.a
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -o $@ $< $(BUILD)/libweir.a $(HOST_LIBS)

# Stages for measuring, outside the search path: loaded by service.plugins.
BENCH_STAGES := $(patsubst bench/stages/%.c,$(BUILD)/bench/stages/processor_%.so,$(wildcard bench/stages/*.c))
$(BUILD)/bench/stages/processor_%.so: bench/stages/%.c
	@mkdir -p $(@D)
	$(CC) $(STAGE_CFLAGS) -shared $(NODEFS) -o $@ $<

.PHONY: bench
bench: all $(BENCH_BIN) $(BENCH_STAGES) ## CPU per span, side by side with the floor
	@bench/run.sh $(BUILD)
