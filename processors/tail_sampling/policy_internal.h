/*
 * processors/tail_sampling/policy_internal.h - what the files policy*.c share: the compiled program.
 *
 * A policy is a term, or (composite) several terms; a term is a conjunction of leaves. That is all the nesting that the Collector allows: `not` within a list, and
 * invert_match, turn a leaf round. All arrays are flat and ordered as the configuration is. Strings and arrays belong to the program (ts_keep).
 */
#ifndef TAIL_SAMPLING_POLICY_INTERNAL_H
#define TAIL_SAMPLING_POLICY_INTERNAL_H

#include <stdatomic.h>

#include <weir/expr.h>
#include <weir/regex.h>

#include "policy.h"
#include "policy_config.h"

struct kit_tracestate;

struct ts_texts { /* exact values, sorted by length and bytes */
  struct weir_str *v;
  uint32_t n;
};

/* A budget that all lanes draw on. rate_limiting, bytes_limiting: a bucket of tokens, as the time at which it was empty. composite: the spans of one second. */
struct ts_rate {
  uint64_t per_second, burst;
  _Atomic int64_t empty_ns; /* per_second 0: tokens used */
  _Atomic uint64_t second;  /* second << 40 | spans */
};

struct ts_leaf {
  uint8_t type; /* TS_ALWAYS_SAMPLE .. TS_OTTL */
  uint8_t invert;
  uint16_t bit, error_bit; /* in the facts; TS_LEAF_NONE. latency and span_count with an upper limit: the bit says that it is passed */
  uint64_t threshold;      /* of what it keeps */
  const char *text;
  struct weir_str key; /* of an attribute */
  union {
    struct {
      int64_t over_ms, upto_ms; /* upto_ms 0: none */
    } latency;
    struct {
      int64_t min, max;
      int has_min, has_max;
    } numeric;
    struct {
      uint64_t reject; /* R at least this */
      uint64_t hash;   /* salted: the hash of salt and id at most this */
      uint64_t salt;   /* the hash of the salt alone */
      int salted;
    } chance;
    struct {
      struct ts_texts values;
      struct weir_regex **regexes; /* NULL: exact */
      uint32_t n_regexes;
    } text;
    struct {
      struct weir_str key;
      struct ts_texts values;
    } member; /* trace_state */
    struct {
      uint64_t min, max;
    } count;
    int boolean;
    uint32_t codes; /* status_code: 1 << code */
    struct {
      struct weir_expr **span, **event;
      uint32_t n_span, n_event;
      int32_t mode;
    } ottl;
    struct ts_rate *rate;
  } u;
};

struct ts_term {
  uint16_t first, n; /* leaves */
  uint8_t asks_rate, reserved[3];
  uint64_t threshold;   /* the highest of its leaves */
  struct ts_rate *rate; /* composite: its share */
};

struct ts_policy {
  const char *name;
  uint8_t type, dry_run, asks_rate, reserved;
  uint16_t first, n;     /* terms */
  uint64_t threshold;    /* the lowest that it can keep with */
  struct ts_rate *total; /* composite */
  uint16_t *sub_order;   /* composite: the terms, counted from first, in the order to ask them */
  const char **sub_names;
};

/* The attribute leaves of one key. */
struct ts_key {
  struct weir_str key; /* n = 0, p = NULL: an empty place */
  uint32_t first, n;   /* of by_key */
};

struct ts_kept;

struct ts_program {
  struct ts_kept *kept;
  int collector, first_match;
  const struct weir_regex_service *regex;
  const struct weir_expr_service *expr;
  struct ts_leaf *leaves;
  struct ts_term *terms;
  struct ts_policy *policies;
  uint16_t *order; /* of policies: drop first */
  uint32_t n_leaves, n_terms, n_policies, n_drop, n_bits, words;
  /* for ts_observe */
  struct ts_key *keys;
  uint32_t keys_mask, n_keys;
  uint64_t key_lengths, key_seed; /* bit n & 63: there is a key of n bytes */
  uint16_t *by_key;
  uint64_t *status_masks[3], *flags_mask;
  uint16_t *sums, *members, *conditions; /* leaves: latency and span_count; trace_state; ottl */
  uint32_t n_sums, n_members, n_conditions;
};

/* --- policy.c: memory that lives as long as the program; NULL: none left ------------------------------ */
void *ts_keep(struct ts_program *, size_t n); /* zeroed */
const char *ts_keep_text(struct ts_program *, const char *);

/* --- policy_compile.c --------------------------------------------------------------------------------- */
int ts_compile(struct ts_program *, const struct weir_host *, struct weir_stage *, const struct ts_config *, struct weir_error *);

/* --- policy_leaf.c: one plain policy into a leaf ------------------------------------------------------ */
struct ts_compiler {
  struct ts_program *program;
  const struct weir_host *host;
  struct weir_stage *stage;
  struct weir_error *err;
  int collector;
  char path[256]; /* of the policy that is being compiled */
};
/* Fills the leaf, but for bit, error_bit and the key of an attribute, which is returned. */
int ts_leaf_compile(struct ts_compiler *, const struct ts_policy_config *, enum ts_type, struct ts_leaf *, const char **ret_key);
void ts_leaf_free(const struct ts_program *, struct ts_leaf *);
int ts_refuse(struct ts_compiler *, const char *key, const char *fmt, ...) WEIR_PRINTF(3, 4);

/* --- policy_text.c ------------------------------------------------------------------------------------ */
const char *ts_leaf_describe(struct ts_program *, const struct ts_policy_config *, const struct ts_leaf *);

/* --- policy_keys.c ------------------------------------------------------------------------------------ */
int ts_texts_make(struct ts_program *, struct weir_strings, size_t max_bytes, struct ts_texts *ret); /* without "" and what is longer; 0 or WEIR_E_NOMEM */
int ts_texts_have(const struct ts_texts *, const char *p, uint32_t n);
/* Groups the leaves by their keys (NULL: none). */
int ts_keys_make(struct ts_program *, const char *const *key_of_leaf);

/* As many bits of the text as its length and ends say: the table is the configuration's, so nobody can choose names that share a place in it. */
static inline uint64_t ts_key_hash(uint64_t seed, const char *p, uint32_t n) {
  uint64_t a = 0, b = 0;
  if (n >= 8) {
    memcpy(&a, p, 8);
    memcpy(&b, p + n - 8, 8);
  } else if (n >= 4) {
    memcpy(&a, p, 4);
    memcpy(&b, p + n - 4, 4);
  } else if (n) {
    a = (uint64_t)(unsigned char)p[0] << 8 | (unsigned char)p[n / 2];
    b = (unsigned char)p[n - 1];
  }
  return ((a ^ (b << 31 | b >> 33) ^ n) * seed) >> 32;
}

static inline const struct ts_key *ts_keys_find(const struct ts_program *p, struct weir_str key) {
  if (!(p->key_lengths >> (key.n & 63) & 1)) return NULL;
  for (uint64_t i = ts_key_hash(p->key_seed, key.p, key.n);; i++) {
    const struct ts_key *k = &p->keys[i & p->keys_mask];
    if (!k->key.p) return NULL;
    if (k->key.n == key.n && memcmp(k->key.p, key.p, key.n) == 0) return k;
  }
}

/* --- policy_rate.c ------------------------------------------------------------------------------------ */
struct ts_rate *ts_rate_new(struct ts_program *, uint64_t per_second, uint64_t burst); /* burst 0: twice per_second */
int ts_rate_take(struct ts_rate *, uint64_t n, int64_t now_ns);                        /* the bucket */
int ts_second_take(struct ts_rate *, uint64_t n, int64_t now_ns);                      /* of this second's per_second */
void ts_second_return(struct ts_rate *, uint64_t n, int64_t now_ns);

/* --- policy_observe.c --------------------------------------------------------------------------------- */
/* Longer than so many ms, to the nanosecond; spans without a start or an end have none. */
int ts_longer(const struct ts_facts *, int64_t ms);
/* Of one value or record; `errors` counts what could not be evaluated. */
int ts_attr_matches(const struct ts_program *, const struct ts_leaf *, const struct weir_value *, int of_resource, uint64_t *errors);
int ts_ottl_matches(const struct ts_program *, const struct ts_leaf *, const struct weir_expr_input *, uint64_t *errors); /* -1: an error to pass on */

/* --- policy_chance.c ---------------------------------------------------------------------------------- */
void ts_chance_set(struct ts_leaf *, double percent, const char *salt); /* salt NULL: by randomness */
int ts_chance(const struct ts_leaf *, const struct ts_facts *);

static inline int ts_bit(const uint64_t *bits, uint16_t bit) { return (int)(bits[bit >> 6] >> (bit & 63) & 1); }

#endif
