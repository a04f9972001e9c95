# weir: see `make help`. Everything that is generated or compiled lives under build/ (or BUILD=dir).
# SAN=address | thread builds with sanitizers into build-address / build-thread. CC=clang works too.

SAN ?=
BUILD ?= build$(if $(SAN),-$(SAN))
ifeq ($(origin CC),default)
CC := gcc
endif
PKGS := libuv libnghttp2 yaml-0.1 libprotobuf-c libdeflate libzstd libcares
LLHTTP_SRC := /usr/share/llhttp
LLHTTP_INC := /usr/share/include/llhttp

, := ,
WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
SANFLAGS := $(if $(filter address,$(SAN)),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined,$(if $(filter thread,$(SAN)),-fsanitize=thread))
OPT ?= -O2 -g
CFLAGS_ALL := -std=c11 -D_GNU_SOURCE $(OPT) -fno-omit-frame-pointer -fno-plt $(WARN) $(SANFLAGS) $(CFLAGS)
STAGE_CFLAGS := $(CFLAGS_ALL) -Iinclude -I. -fPIC -fvisibility=hidden
HOST_CFLAGS := $(CFLAGS_ALL) -Iinclude -I. -I$(BUILD)/gen -isystem $(LLHTTP_INC) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
HOST_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -ldl -lpthread
NODEFS := $(if $(and $(SAN),$(findstring clang,$(CC))),,-Wl$(,)-z$(,)defs)
VERSION := 0.1.0

# No file that lies between two rules is removed: the next make would build it again, and with it every test.
.SECONDARY:

.PHONY: all
all: $(BUILD)/weir stages template engines

# --- the program: core, plugins, pipelines, main -------------------------------------------------
PROTOS := $(wildcard core/proto/*.proto)
PROTO_C := $(patsubst core/proto/%.proto,$(BUILD)/gen/proto/%.pb-c.c,$(PROTOS))
PROTO_H := $(PROTO_C:.c=.h)
LIB_SRC := $(wildcard core/*.c plugins/*.c pipelines/*.c) plugins/kit/metadata_keys.c plugins/kit/hash.c plugins/kit/bytes.c plugins/kit/query.c plugins/kit/question.c
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o) $(patsubst $(BUILD)/gen/proto/%.c,$(BUILD)/obj/gen/%.o,$(filter-out %/oracle%,$(PROTO_C))) \
  $(BUILD)/obj/llhttp/api.o $(BUILD)/obj/llhttp/http.o $(BUILD)/obj/llhttp/llhttp.o

$(BUILD)/gen/proto/%.pb-c.c $(BUILD)/gen/proto/%.pb-c.h &: core/proto/%.proto
	@mkdir -p $(BUILD)/gen/proto
	protoc-c --proto_path=core/proto --c_out=$(BUILD)/gen/proto $<

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/proto/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 $(OPT) $(SANFLAGS) -I$(BUILD)/gen/proto -c -o $@ $<

$(BUILD)/obj/llhttp/%.o: $(LLHTTP_SRC)/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 $(OPT) $(SANFLAGS) -I$(LLHTTP_INC) -c -o $@ $<

$(BUILD)/obj/%.o: %.c | $(PROTO_H)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -DWEIR_VERSION='"$(VERSION)"' -MMD -MP -c -o $@ $<

$(BUILD)/libweir.a: $(LIB_OBJ)
	@rm -f $@; ar rcs $@ $^

$(BUILD)/weir: $(BUILD)/obj/main.o $(BUILD)/libweir.a
	$(CC) $(CFLAGS_ALL) -o $@ $< $(BUILD)/libweir.a $(HOST_LIBS)

# --- engines: libraries that are loaded with the first setting that needs them ---------------------
$(BUILD)/engines/tls.so: core/tls/openssl.c core/tls_engine.h include/weir/tls.h include/weir/error.h
	@mkdir -p $(@D)
	$(CC) $(STAGE_CFLAGS) $(shell pkg-config --cflags openssl 2>/dev/null) -shared $(NODEFS) -o $@ $< $(shell pkg-config --libs openssl)

# --- stages: one folder or file each, one .so each, <role>_<type>.so ------------------------------
KIT_SRC := $(wildcard plugins/kit/*.c)
KIT_OBJ := $(KIT_SRC:%.c=$(BUILD)/obj/%.pic.o)
KIT_LIB := $(BUILD)/libkit.a # a stage takes from it only what it uses
STAGE_NAMES := $(foreach r,receiver processor exporter connector extension,$(patsubst $(r)s/%,$(r)_%,$(basename $(wildcard $(r)s/*.c)) $(patsubst %/,%,$(wildcard $(r)s/*/))))
STAGE_NAMES := $(filter-out $(if $(wildcard processors/tail_sampling/tail_sampling.c),,processor_tail_sampling),$(STAGE_NAMES))
STAGE_SO := $(STAGE_NAMES:%=$(BUILD)/stages/%.so)
.PHONY: stages
stages: $(STAGE_SO)

$(KIT_LIB): $(KIT_OBJ)
	@rm -f $@; ar rcs $@ $^

$(BUILD)/obj/%.pic.o: %.c
	@mkdir -p $(@D)
	$(CC) $(STAGE_CFLAGS) -MMD -MP -c -o $@ $<

LIBS_extension_basicauth := -lcrypt -lmd # loaded with the stage only
LIBS_exporter_prometheus := -lz -lm
LIBS_processor_tail_sampling := -lzstd -lm

# $(call stage_rule,role,type)
define stage_rule
$(BUILD)/stages/$(1)_$(2).so: $$(patsubst %.c,$(BUILD)/obj/%.pic.o,$$(wildcard $(1)s/$(2).c $(1)s/$(2)/*.c)) $(KIT_LIB)
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS_ALL) -shared $(NODEFS) -Wl,--exclude-libs,ALL -o $$@ $$^ $$(LIBS_$(1)_$(2))
endef
$(foreach s,$(STAGE_NAMES),$(eval $(call stage_rule,$(word 1,$(subst _, ,$(s))),$(patsubst $(word 1,$(subst _, ,$(s)))_%,%,$(s)))))

# --- gRPC C-core, loaded for `engine: core` alone: built where its library is (Debian: libgrpc-dev) ----------------
GRPC_CORE_OBJ := $(patsubst %.c,$(BUILD)/obj/%.pic.o,$(wildcard plugins/grpc_core/*.c))
ENGINES := $(BUILD)/engines/tls.so $(if $(shell pkg-config --exists grpc 2>/dev/null && echo yes),$(BUILD)/engines/grpc_core.so)
.PHONY: engines
engines: $(BUILD)/engines/tls.so $(ENGINES)

$(BUILD)/obj/plugins/grpc_core/%.pic.o: plugins/grpc_core/%.c
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -fPIC -fvisibility=hidden -DWEIR_VERSION='"$(VERSION)"' -MMD -MP -c -o $@ $<

$(BUILD)/engines/grpc_core.so: $(GRPC_CORE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -shared $(NODEFS) -o $@ $^ -lgrpc -lgpr -lcrypto -lpthread

.PHONY: template
template: $(BUILD)/template/my_stage.so
$(BUILD)/template/my_stage.so: $(wildcard plugins/template/my_stage.c) $(KIT_LIB)
	@mkdir -p $(@D)
	$(CC) $(STAGE_CFLAGS) -shared $(NODEFS) -o $@ $^

include tests/tests.mk
include bench/bench.mk

# --- everyday targets -----------------------------------------------------------------------------
.PHONY: run deps fmt clean help install docs
run: ## install what is missing, build, start the quickstart: OTLP on 4317 and 4318, output on the terminal
	@./tests/tools/deps.sh build
	@$(MAKE) --no-print-directory -s all
	$(BUILD)/weir --config pipelines/quickstart.yaml

deps: ## install the Debian packages that building and testing need
	@./tests/tools/deps.sh all

docs: $(BUILD)/weir stages ## write the stages' manual pages to docs/stages
	@tests/tools/docs.sh $(BUILD)

fmt: ## format the C sources
	clang-format -i $$(git ls-files '*.c' '*.h')

install: all ## install below PREFIX (/usr/local)
	install -D -m755 $(BUILD)/weir $(DESTDIR)$(PREFIX)/bin/weir
	install -d $(DESTDIR)$(PREFIX)/lib/weir/stages $(DESTDIR)$(PREFIX)/include/weir
	install -m644 include/weir/*.h $(DESTDIR)$(PREFIX)/include/weir/
	install -m755 $(STAGE_SO) $(DESTDIR)$(PREFIX)/lib/weir/stages/
	install -d $(DESTDIR)$(PREFIX)/lib/weir/engines
	install -m755 $(ENGINES) $(DESTDIR)$(PREFIX)/lib/weir/engines/
PREFIX ?= /usr/local

clean: ## remove what was built
	rm -rf build build-address build-thread

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
