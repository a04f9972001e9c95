#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/regex.h"

#include <dlfcn.h>
#include <pcre2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/regex_syntax.h"

#define LIBRARY "libpcre2-8.so.0"
#define STEP_BYTES 32u
#define OPTIONS (PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_CIRCUMFLEX)

struct weir_regex {
  pcre2_code *code;
};

/* --- libpcre2 ---------------------------------------------------------------------------------------------------- */

struct library {
  __typeof__(pcre2_compile_context_create) *compile_context_create;
  __typeof__(pcre2_set_newline) *set_newline;
  __typeof__(pcre2_compile) *compile;
  __typeof__(pcre2_code_free) *code_free;
  __typeof__(pcre2_get_error_message) *get_error_message;
  __typeof__(pcre2_match_context_create) *match_context_create;
  __typeof__(pcre2_match_context_free) *match_context_free;
  __typeof__(pcre2_set_match_limit) *set_match_limit;
  __typeof__(pcre2_set_depth_limit) *set_depth_limit;
  __typeof__(pcre2_set_heap_limit) *set_heap_limit;
  __typeof__(pcre2_set_callout) *set_callout;
  __typeof__(pcre2_match_data_create) *match_data_create;
  __typeof__(pcre2_match_data_free) *match_data_free;
  __typeof__(pcre2_match) *match;
  pcre2_compile_context *compile_context;
  pthread_key_t matchers;
};

static struct library loaded;

static void matcher_free(void *);

static int load(struct library *l, struct weir_error *err) {
  const struct {
    const char *name;
    void *at;
  } all[] = { { "pcre2_compile_context_create_8", &l->compile_context_create }, { "pcre2_set_newline_8", &l->set_newline }, { "pcre2_compile_8", &l->compile },
    { "pcre2_code_free_8", &l->code_free }, { "pcre2_get_error_message_8", &l->get_error_message }, { "pcre2_match_context_create_8", &l->match_context_create },
    { "pcre2_match_context_free_8", &l->match_context_free }, { "pcre2_set_match_limit_8", &l->set_match_limit }, { "pcre2_set_depth_limit_8", &l->set_depth_limit },
    { "pcre2_set_heap_limit_8", &l->set_heap_limit }, { "pcre2_set_callout_8", &l->set_callout }, { "pcre2_match_data_create_8", &l->match_data_create },
    { "pcre2_match_data_free_8", &l->match_data_free }, { "pcre2_match_8", &l->match } };
  void *h = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!h) return weir_fail(err, WEIR_E_UNSUPPORTED, "regular expressions are not available: %s is not installed (Debian: libpcre2-8-0)", LIBRARY);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    void *at = dlsym(h, all[i].name);
    if (!at) return weir_fail(err, WEIR_E_UNSUPPORTED, "regular expressions are not available: %s lacks %s", LIBRARY, all[i].name);
    memcpy(all[i].at, &at, sizeof at); /* a function pointer; ISO C has no cast for it */
  }
  l->compile_context = l->compile_context_create(NULL);
  if (!l->compile_context || pthread_key_create(&l->matchers, matcher_free)) return weir_fail(err, WEIR_E_NOMEM, "no memory for regular expressions");
  l->set_newline(l->compile_context, PCRE2_NEWLINE_LF);
  return 0;
}

/* Negative: it could not be loaded, and the next call tries again. Never unloaded: threads hold memory of it. */
static int need_library(struct weir_error *err) {
  static _Atomic int ready;
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  if (atomic_load_explicit(&ready, memory_order_acquire)) return 0;
  pthread_mutex_lock(&lock);
  int r = ready ? 0 : load(&loaded, err);
  if (!r) atomic_store_explicit(&ready, 1, memory_order_release);
  pthread_mutex_unlock(&lock);
  return r;
}

/* --- patterns ------------------------------------------------------------------------------------------------------- */

static int refused(const char *pattern, size_t n, char *written, int code, size_t at, struct weir_error *err) {
  PCRE2_UCHAR why[160];
  if (loaded.get_error_message(code, why, sizeof why) < 0) why[0] = 0;
  if (err) err->offset = regex_translated_from(pattern, n, written, at);
  return weir_fail(err, WEIR_E_INVALID, "%s", (const char *)why);
}

int regex_compile(const char *pattern, size_t n, struct weir_regex **ret, struct weir_error *err) {
  size_t written_n, at = 0;
  int code = 0, r = need_library(err);
  if (r) return r;
  char *written = malloc(REGEX_WRITTEN_MAX(n > REGEX_PATTERN_MAX ? 0 : n));
  struct weir_regex *re = malloc(sizeof *re);
  WEIR_ASSERT(written && re);
  r = regex_translate(pattern, n, written, &written_n, err);
  if (!r) {
    re->code = loaded.compile((PCRE2_SPTR)written, written_n, OPTIONS, &code, &at, loaded.compile_context);
    if (!re->code) r = refused(pattern, n, written, code, at, err);
  }
  free(written);
  if (r) {
    free(re);
    return r;
  }
  *ret = re;
  return 0;
}

void regex_free(struct weir_regex *re) {
  if (!re) return;
  loaded.code_free(re->code);
  free(re);
}

/* --- matching ---------------------------------------------------------------------------------------------------------- */

/* A thread's own: PCRE2 keeps the memory of a match for the next one. */
struct matcher {
  pcre2_match_context *context;
  pcre2_match_data *data;
  size_t steps, begin, last; /* begin: where the match that is tried begins; last: where the callout before stood */
};

static void matcher_free(void *arg) {
  struct matcher *m = arg;
  loaded.match_context_free(m->context);
  loaded.match_data_free(m->data);
  free(m);
}

/* PCRE2's match limit begins anew at each place where a match may begin, and counts no bytes; this counts both. */
static int step(pcre2_callout_block *b, void *arg) {
  struct matcher *m = arg;
  size_t at = b->current_position, last = m->begin == b->start_match ? m->last : b->start_match;
  m->begin = b->start_match;
  m->last = at;
  m->steps += 1 + (at > last ? at - last : last - at) / STEP_BYTES;
  return m->steps > REGEX_STEPS_MAX ? PCRE2_ERROR_CALLOUT : 0;
}

static struct matcher *matcher(void) {
  struct matcher *m = pthread_getspecific(loaded.matchers);
  if (m) return m;
  m = calloc(1, sizeof *m);
  WEIR_ASSERT(m != NULL);
  m->context = loaded.match_context_create(NULL);
  m->data = loaded.match_data_create(1, NULL);
  WEIR_ASSERT(m->context && m->data);
  loaded.set_match_limit(m->context, REGEX_TRIES_MAX);
  loaded.set_depth_limit(m->context, REGEX_DEPTH_MAX);
  loaded.set_heap_limit(m->context, REGEX_HEAP_KIB_MAX);
  loaded.set_callout(m->context, step, m);
  int r = pthread_setspecific(loaded.matchers, m);
  WEIR_ASSERT(r == 0);
  return m;
}

int regex_match(const struct weir_regex *re, const char *p, size_t n) {
  struct matcher *m = matcher();
  m->steps = m->begin = m->last = 0;
  int r = loaded.match(re->code, (PCRE2_SPTR)(n ? p : ""), n, 0, 0, m->data, m->context);
  if (r >= 0) return 1;
  return r == PCRE2_ERROR_NOMATCH ? 0 : WEIR_E_LIMIT;
}
