# Benchmarks: `make bench` runs them all and prints the table for bench/results.md.
BENCH_SRC := $(wildcard bench/*.c)
BENCH_BIN := $(BENCH_SRC:bench/%.c=$(BUILD)/bench/%)

$(BUILD)/bench/%: bench/%.c $(BUILD)/libweir.a
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -o $@ $< $(BUILD)/libweir.a $(HOST_LIBS)

.PHONY: bench
bench: all $(BENCH_BIN) ## CPU per span, side by side with the floor
	@bench/run.sh $(BUILD)
