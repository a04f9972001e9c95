#include "journal.h"

#include <stdlib.h>
#include <string.h>

#include "journal_internal.h"

#define TEXT_MAX 1000u
#define TEXTS_MAX 65535u
#define RECORDS_MAX (1u << 30) /* far below the numbers there are */
#define RECORD_BYTES (sizeof(struct ts_record) + 2 * sizeof(uint32_t))

_Static_assert(RECORD_BYTES == 80, "journal.h promises 80 bytes");

/* --- life ----------------------------------------------------------------------------------------------------------- */

static uint32_t capacity_of(uint64_t bytes) {
  uint64_t want = bytes / RECORD_BYTES;
  return want < RECORDS_MAX ? (uint32_t)want : RECORDS_MAX;
}

static uint32_t power_of_two_within(uint32_t n) {
  uint32_t p = 1;
  while (p <= n / 2) p *= 2;
  return p;
}

/* The kernel gives zeroed pages as they are touched. */
static int make_ring(struct ts_journal *j, uint32_t cap) {
  j->cap = cap;
  j->n_heads = power_of_two_within(cap);
  j->wrap = (UINT32_MAX / cap) * (uint64_t)cap;
  j->ring = calloc(cap, sizeof *j->ring);
  j->older = calloc(cap, sizeof *j->older);
  j->heads = calloc(j->n_heads, sizeof *j->heads);
  return j->ring && j->older && j->heads ? 0 : WEIR_E_NOMEM;
}

static void free_ring(struct ts_journal *j) {
  free(j->ring);
  free(j->older);
  free(j->heads);
}

struct ts_journal *ts_journal_new(uint64_t bytes) {
  struct ts_journal *j = calloc(1, sizeof *j);
  uint32_t cap = capacity_of(bytes);
  if (!j) return NULL;
  kit_hash_key_draw(&j->key);
  if (!cap || make_ring(j, cap) == 0) return j;
  ts_journal_free(j);
  return NULL;
}

void ts_journal_free(struct ts_journal *j) {
  if (!j) return;
  free_ring(j);
  for (uint32_t i = 0; i < j->n_texts; i++) free(j->texts[i]);
  free((void *)j->texts);
  kit_table_done(&j->table);
  free(j);
}

uint64_t ts_journal_bytes(const struct ts_journal *j) {
  return sizeof *j + (uint64_t)j->n * RECORD_BYTES + j->text_bytes + j->cap_texts * sizeof *j->texts + j->table.n_buckets * sizeof *j->table.buckets;
}

/* --- texts ------------------------------------------------------------------------------------------------------------ */

static struct journal_text *find_text(const struct ts_journal *j, const char *text, size_t n, uint64_t hash) {
  for (struct kit_node *k = kit_table_first(&j->table, hash); k; k = kit_table_next(k)) {
    struct journal_text *t = (struct journal_text *)(void *)k;
    if (strncmp(t->text, text, n) == 0 && !t->text[n]) return t;
  }
  return NULL;
}

static int room_for_text(struct ts_journal *j) {
  if (j->n_texts < j->cap_texts) return 1;
  uint32_t cap = j->cap_texts ? j->cap_texts * 2 : 16;
  struct journal_text **texts = realloc((void *)j->texts, cap * sizeof *texts);
  if (!texts) return 0;
  j->texts = texts;
  j->cap_texts = cap;
  return 1;
}

uint16_t ts_journal_text(struct ts_journal *j, const char *text) {
  size_t n = strnlen(text, TEXT_MAX);
  if (!n || !j->cap) return 0;
  uint64_t hash = kit_hash(&j->key, text, n);
  struct journal_text *t = find_text(j, text, n, hash);
  if (t) return t->number;
  if (j->n_texts == TEXTS_MAX || !room_for_text(j)) return 0;
  t = calloc(1, sizeof *t + n + 1);
  if (!t) return 0;
  memcpy(t->text, text, n);
  t->number = (uint16_t)(j->n_texts + 1);
  if (kit_table_add(&j->table, &t->node, hash)) {
    free(t);
    return 0;
  }
  j->texts[j->n_texts++] = t;
  j->text_bytes += sizeof *t + n + 1;
  return t->number;
}

/* --- records ------------------------------------------------------------------------------------------------------------ */

uint32_t *journal_head(const struct ts_journal *j, const uint8_t id[16]) { return &j->heads[kit_hash(&j->key, (const char *)id, 16) & (j->n_heads - 1)]; }

void ts_journal_add(struct ts_journal *j, const struct ts_record *r) {
  if (!j->cap) return;
  uint32_t *head = journal_head(j, r->id), slot = j->next % j->cap;
  j->ring[slot] = *r;
  /* The chain's end has a number that is never among the newest: its own distance to itself is 0. */
  j->older[slot] = journal_at(j, *head) ? *head : j->next;
  *head = j->next;
  j->next = (uint32_t)((j->next + 1ull) % j->wrap);
  if (j->n < j->cap) j->n++;
}

/* --- from one journal to another ------------------------------------------------------------------------------------------ */

/* What from's numbers are among to's texts; NULL: no memory. The caller frees it. */
static uint16_t *map_texts(struct ts_journal *to, const struct ts_journal *from) {
  uint16_t *map = calloc(from->n_texts + 1u, sizeof *map);
  for (uint32_t i = 0; map && i < from->n_texts; i++) map[i + 1] = ts_journal_text(to, from->texts[i]->text);
  return map;
}

static uint16_t mapped(const uint16_t *map, const struct ts_journal *from, uint16_t number) { return number <= from->n_texts ? map[number] : 0; }

static void add_mapped(struct ts_journal *to, const struct ts_journal *from, const struct ts_record *r, const uint16_t *map) {
  struct ts_record copy = *r;
  copy.policy = mapped(map, from, r->policy);
  copy.predicate = mapped(map, from, r->predicate);
  ts_journal_add(to, &copy);
}

/* Of the same size. */
static void swap_rings(struct ts_journal *a, struct ts_journal *b) {
  struct ts_journal t = *a;
  a->ring = b->ring;
  a->older = b->older;
  a->heads = b->heads;
  a->n = b->n;
  a->next = b->next;
  b->ring = t.ring;
  b->older = t.older;
  b->heads = t.heads;
  b->n = t.n;
  b->next = t.next;
}

static void take_ring(struct ts_journal *to, struct ts_journal *from, const uint16_t *map) {
  struct kit_hash_key key = to->key;
  struct kit_table none = { 0 };
  swap_rings(to, from);
  for (uint32_t i = 0; i < to->n; i++) {
    struct ts_record *r = &to->ring[journal_number(to, i + 1) % to->cap];
    r->policy = mapped(map, from, r->policy);
    r->predicate = mapped(map, from, r->predicate);
  }
  /* The index was made with from's key: texts are few and are put in again. */
  to->key = from->key;
  from->key = key;
  kit_table_done(&to->table);
  to->table = none;
  for (uint32_t i = 0; i < to->n_texts; i++) kit_table_add(&to->table, &to->texts[i]->node, kit_hash(&to->key, to->texts[i]->text, strlen(to->texts[i]->text)));
}

/* Into a new ring, the older of both first. 0, or WEIR_E_NOMEM and nothing has changed. */
static int merge(struct ts_journal *to, const struct ts_journal *from, const uint16_t *map) {
  struct ts_journal own = *to;
  if (make_ring(to, to->cap)) {
    free_ring(to);
    *to = own;
    return WEIR_E_NOMEM;
  }
  to->n = to->next = 0;
  uint32_t a = own.n, b = from->n;
  while (a || b) {
    const struct ts_record *x = a ? journal_at(&own, journal_number(&own, a)) : NULL, *y = b ? journal_at(from, journal_number(from, b)) : NULL;
    if (x && (!y || x->time_unix_ns <= y->time_unix_ns)) {
      ts_journal_add(to, x);
      a--;
    } else {
      add_mapped(to, from, y, map);
      b--;
    }
  }
  free_ring(&own);
  return 0;
}

void ts_journal_move(struct ts_journal *to, struct ts_journal *from) {
  uint16_t *map = to->cap && from->n ? map_texts(to, from) : NULL;
  if (map && !to->n && to->cap == from->cap) take_ring(to, from, map);
  else if (map) merge(to, from, map);
  free(map);
  from->n = from->next = 0;
}
