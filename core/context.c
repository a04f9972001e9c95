#include "core/context.h"

#include <stdatomic.h>

#include "core/assert.h"
#include "core/pool.h"

#define CONTEXT_MAGIC 0xc0417e87u

struct context {
  struct weir_context pub; /* first: what stages see */
  uint32_t magic;
  _Atomic uint32_t refs;
  struct weir_body *home; /* the block that this stands in */
};

static struct context *context_of(const struct weir_context *pub) {
  struct context *c = (struct context *)(uintptr_t)pub;
  CHECK_MAGIC(c, CONTEXT_MAGIC);
  return c;
}

/* --- making one ------------------------------------------------------------------------------------------- */

static uint64_t text_bytes(const struct weir_pair *v, uint32_t n) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < n; i++) bytes += (uint64_t)v[i].name.n + v[i].value.n;
  return bytes;
}

static struct weir_str keep(char **at, struct weir_str s, int lower) {
  struct weir_str kept = { *at, s.n, 0 };
  for (uint32_t i = 0; i < s.n; i++) (*at)[i] = (char)(lower && s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
  *at += s.n;
  return kept;
}

static int compare(struct weir_str a, struct weir_str b) {
  uint32_t n = a.n < b.n ? a.n : b.n;
  int r = n ? memcmp(a.p, b.p, n) : 0;
  return r ? r : (a.n > b.n) - (a.n < b.n);
}

/* Copies pairs in the order of their names; equal names stay in the order in which they came. Binary insertion: at most 9 compares a
 * pair, whatever order a client chooses. */
static void keep_pairs(struct weir_pair *to, const struct weir_pair *from, uint32_t n, char **at, int lower) {
  for (uint32_t i = 0; i < n; i++) {
    struct weir_pair p;
    p.name = keep(at, from[i].name, lower);
    p.value = keep(at, from[i].value, 0);
    uint32_t low = 0, high = i;
    while (low < high) {
      uint32_t mid = (low + high) / 2;
      if (compare(to[mid].name, p.name) <= 0) low = mid + 1;
      else high = mid;
    }
    memmove(to + low + 1, to + low, (i - low) * sizeof *to);
    to[low] = p;
  }
}

int context_new(struct pool *pool, const struct weir_context *what, const struct weir_context **ret, struct weir_error *err) {
  uint64_t pairs = (uint64_t)what->n_metadata + what->n_auth;
  uint64_t text = text_bytes(what->metadata, what->n_metadata) + text_bytes(what->auth, what->n_auth) + what->peer.n;
  if (pairs > WEIR_CONTEXT_MAX_PAIRS) return weir_fail(err, WEIR_E_LIMIT, "request metadata has over %u lines", WEIR_CONTEXT_MAX_PAIRS);
  if (text > WEIR_CONTEXT_MAX_BYTES) return weir_fail(err, WEIR_E_LIMIT, "request metadata has over %u bytes", WEIR_CONTEXT_MAX_BYTES);
  struct weir_body *home = body_new(pool, (size_t)(sizeof(struct context) + pairs * sizeof(struct weir_pair) + text));
  if (!home) return weir_fail(err, WEIR_E_NOMEM, "the memory limit of this process is reached");
  struct context *c = (struct context *)(void *)home->p;
  struct weir_pair *v = (struct weir_pair *)(c + 1);
  char *at = (char *)(v + pairs);
  memset(c, 0, sizeof *c);
  c->magic = CONTEXT_MAGIC;
  atomic_init(&c->refs, 1);
  c->home = home;
  keep_pairs(v, what->metadata, what->n_metadata, &at, 1);
  keep_pairs(v + what->n_metadata, what->auth, what->n_auth, &at, 0);
  c->pub = (struct weir_context){ .size = sizeof c->pub, .n_metadata = what->n_metadata, .n_auth = what->n_auth, .metadata = v,
    .auth = v + what->n_metadata, .peer = keep(&at, what->peer, 0) };
  *ret = &c->pub;
  return 0;
}

/* --- counting ----------------------------------------------------------------------------------------------- */

const struct weir_context *context_ref(const struct weir_context *pub) {
  if (pub) atomic_fetch_add_explicit(&context_of(pub)->refs, 1, memory_order_relaxed);
  return pub;
}

void context_unref(const struct weir_context *pub) {
  if (!pub) return;
  struct context *c = context_of(pub);
  if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
  c->magic = 0;
  body_free(c->home);
}

static int equal_pairs(const struct weir_pair *a, const struct weir_pair *b, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (!weir_str_eq(a[i].name, b[i].name) || !weir_str_eq(a[i].value, b[i].value)) return 0;
  return 1;
}

int context_equal(const struct weir_context *a, const struct weir_context *b) {
  if (a == b) return 1;
  if (!a || !b || a->n_metadata != b->n_metadata || a->n_auth != b->n_auth || !weir_str_eq(a->peer, b->peer)) return 0;
  return equal_pairs(a->metadata, b->metadata, a->n_metadata) && equal_pairs(a->auth, b->auth, a->n_auth);
}
