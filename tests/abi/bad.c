/*
 * One plugin source with many faults, chosen by -DFAULT=n; tests/abi/run.sh builds each and expects weir's sentence about it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/stage.h>

#define GOOD 0
#define WRONG_MAJOR 1
#define NEWER_MINOR 2
#define WRONG_SIZE 3
#define WRONG_ROLE 4
#define NULL_NAME 5
#define NO_DOC_FIELD 6
#define FIELD_OUTSIDE 7
#define SANITIZER 8
#define NO_SYMBOL 9
#define NO_NOTE 10
#define UNRESOLVED 11
#define CONSTRUCTOR 12
#define SIGNALS 13
#define OLDER 14
#define NO_CONSUME 15
#define TWICE 16
#define HALF 17
#define KEY_WITHOUT_FUNCTION 18
#define KEY_WITHOUT_FLAG 19
#define KEY_ON_ONE_LANE 20
#define KEY_OF_RECEIVER 21
#define PREPARE_ALONE 22
#define BY_KEY 23
#define PREPARE_FAILS 24

#if FAULT == CONSTRUCTOR || FAULT == NO_NOTE
/* Must never run: the file is refused by its note, or the lack of one. */
__attribute__((constructor)) static void boo(void) {
  puts("the constructor ran");
  fflush(stdout);
  abort();
}
#endif

#if FAULT == SIGNALS
static void handler(int s) {
  (void)s;
  _exit(99);
}
__attribute__((constructor)) static void take_signals(void) { signal(SIGTERM, handler); }
#endif

#if FAULT == UNRESOLVED
int weir_has_no_such_function(void);
#endif

struct config {
  int64_t number;
};

static const struct weir_field fields[] = {
#if FAULT == NO_DOC_FIELD
  { "number", WEIR_T_INT, 0, offsetof(struct config, number), "1", NULL, NULL, NULL, NULL, NULL, NULL, 0 },
#elif FAULT == FIELD_OUTSIDE
  { "number", WEIR_T_INT, 0, 64, "1", NULL, NULL, NULL, NULL, "A number.", NULL, 0 },
#else
  { "number", WEIR_T_INT, 0, offsetof(struct config, number), "1", NULL, NULL, NULL, NULL, "A number.", NULL, 0 },
#endif
  WEIR_FIELD_END,
};

struct self {
  const struct weir_host *host;
  struct weir_stage *stage;
};

static int bad_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  struct self *s = calloc(1, sizeof *s);
  (void)config;
  (void)err;
#if FAULT == UNRESOLVED
  weir_has_no_such_function();
#endif
  s->host = host;
  s->stage = stage;
  *ret_self = s;
  return 0;
}

static void bad_consume(void *self, struct weir_batch *batch) {
  struct self *s = self;
  s->host->emit(s->stage, 0, batch);
}

static void bad_close(void *self) { free(self); }

#if FAULT == KEY_WITHOUT_FLAG || FAULT == KEY_ON_ONE_LANE || FAULT == KEY_OF_RECEIVER || FAULT == BY_KEY
static uint64_t bad_key(const struct weir_resource *resource, const struct weir_scope *scope, const struct weir_rec *rec) {
  (void)resource;
  (void)scope;
  return rec->kind;
}
#endif

#if FAULT == PREPARE_ALONE || FAULT == PREPARE_FAILS || FAULT == BY_KEY
static int bad_prepare(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_shared, struct weir_error *err) {
  (void)config;
  if (FAULT == PREPARE_FAILS) return weir_fail_field(err, "number", "no table for %s", host->stage_id(stage));
  *ret_shared = strdup(host->stage_id(stage));
  return 0;
}
#endif

static const struct weir_stage_type type = {
#if FAULT == OLDER
  .size = offsetof(struct weir_stage_type, need), /* from before `need` was added; what stands there is not ours to read */
  .need = (weir_need_f *)(uintptr_t)0xdead,
#else
  .size = sizeof type,
#endif
#if FAULT == WRONG_ROLE
  .role = 77,
#elif FAULT == KEY_OF_RECEIVER
  .role = WEIR_RECEIVER,
#else
  .role = WEIR_PROCESSOR,
#endif
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
#if FAULT == NULL_NAME
  .name = NULL,
#elif FAULT == TWICE
  .name = "batch",
#else
  .name = "bad",
#endif
  .doc = "A plugin for tests.",
  .example_yaml = "{}\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct config),
  .open = bad_open,
#if FAULT == KEY_WITHOUT_FUNCTION || FAULT == KEY_OF_RECEIVER || FAULT == BY_KEY
  .flags = WEIR_BY_KEY,
#elif FAULT == KEY_ON_ONE_LANE
  .flags = WEIR_BY_KEY | WEIR_ONE_LANE,
#endif
#if FAULT == KEY_WITHOUT_FLAG || FAULT == KEY_ON_ONE_LANE || FAULT == KEY_OF_RECEIVER || FAULT == BY_KEY
  .key = bad_key,
#endif
#if FAULT == PREPARE_ALONE || FAULT == PREPARE_FAILS || FAULT == BY_KEY
  .prepare = bad_prepare,
#endif
#if FAULT == BY_KEY || FAULT == PREPARE_FAILS
  .release = free,
#endif
#if FAULT != NO_CONSUME
  .consume = bad_consume,
#endif
  .close = bad_close,
};

#if FAULT == WRONG_MAJOR || FAULT == CONSTRUCTOR
#define MAJOR 7
#else
#define MAJOR WEIR_ABI_MAJOR
#endif
#if FAULT == NEWER_MINOR
#define MINOR (WEIR_ABI_MINOR + 3)
#else
#define MINOR WEIR_ABI_MINOR
#endif
#if FAULT == SANITIZER
#define FLAGS (WEIR_BUILD_FLAGS ^ WEIR_BUILT_TSAN)
#else
#define FLAGS WEIR_BUILD_FLAGS
#endif

#if FAULT != NO_NOTE
__attribute__((section(".note.weir"), used, aligned(4))) static const struct weir_note note = { 5, 16, WEIR_NOTE_TYPE, "weir", MAJOR, MINOR, FLAGS, 0 };
#endif

#if FAULT == HALF
/* The first stage is good, the second is not. */
static const struct weir_stage_type nameless = { .size = sizeof nameless };
static const struct weir_stage_type *const stages[] = { &type, &nameless, NULL };
#else
static const struct weir_stage_type *const stages[] = { &type, NULL };
#endif
#if FAULT == NO_SYMBOL
extern WEIR_EXPORT const struct weir_plugin not_the_symbol;
const struct weir_plugin not_the_symbol = {
#else
extern WEIR_EXPORT const struct weir_plugin weir_plugin_v0;
const struct weir_plugin weir_plugin_v0 = {
#endif
  MAJOR, MINOR,
#if FAULT == WRONG_SIZE
  8,
#else
  sizeof(struct weir_plugin),
#endif
  FLAGS, "bad", "1.0", "Apache-2.0", stages
};
