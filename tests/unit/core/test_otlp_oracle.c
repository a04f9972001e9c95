/*
 * The decoder and the encoder against protobuf-c, on generated and mutated messages of all signals: the same verdict, the same fields.
 *
 * Deliberate differences from protobuf-c 1.4, all refused by us and accepted there: field number 0 in an overlong tag, field numbers over
 * 2^29-1 (the tag would not fit 32 bits), more than 100 nested messages, a bool that has not the wire type of a bool. Where protobuf-c merges
 * wrongly, gen_normalize merges first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/otlp.h"
#include "tests/unit/oracle/otlp_oracle.h"
#include "tests/unit/support/otlp_gen.h"

static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };

static const char *const stricter[] = { "field number", "nested deeper", "bool_value: wire type", "is_monotonic: wire type" };

static int on_purpose(const char *msg) {
  for (size_t i = 0; i < sizeof stricter / sizeof *stricter; i++)
    if (strstr(msg, stricter[i])) return 1;
  return 0;
}

/* What happened, so that a test can see that it tested something. */
static struct {
  uint64_t accepted, refused, stricter, items;
} seen;

static ProtobufCMessage *oracle_read(uint32_t signal, const struct gen_bytes *b) {
  struct gen_bytes normal = { NULL, 0, 0 };
  ProtobufCMessage *m = NULL;
  if (gen_normalize(oracle_request(signal), b->p, b->n, &normal)) m = protobuf_c_message_unpack(oracle_request(signal), NULL, normal.n, (const uint8_t *)normal.p);
  free(normal.p);
  return m;
}

static void mark(struct weir_rec *r) { r->dirty |= RECORD_REWRITE; }

static void mark_points(struct weir_metric *m) {
  for (uint32_t i = 0; i < m->n_points; i++) {
    mark(&m->points.any[i]->rec);
    for (uint32_t k = 0; k < m->points.any[i]->n_exemplars; k++) mark(&m->points.any[i]->exemplars[k]->rec);
  }
}

static void mark_record(uint32_t signal, struct weir_rec *r) {
  mark(r);
  if (signal == WEIR_METRICS) mark_points((struct weir_metric *)(void *)r);
  if (signal != WEIR_TRACES) return;
  struct weir_span *s = (struct weir_span *)(void *)r;
  for (uint32_t i = 0; i < s->n_events; i++) mark(&s->events[i]->rec);
  for (uint32_t i = 0; i < s->n_links; i++) mark(&s->links[i]->rec);
}

static uint64_t mark_all(struct weir_data *d) {
  uint64_t records = 0;
  for (uint32_t r = 0; r < d->n_resources; r++) {
    mark(&d->resources[r]->rec);
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) {
      struct weir_scope *scope = d->resources[r]->scopes[s];
      mark(&scope->rec);
      for (uint32_t i = 0; i < scope->n_records; i++) mark_record(d->signal, scope->u.recs[i]);
      records += scope->n_records;
    }
  }
  return records;
}

static void encoded_equals(const struct weir_data *d, struct arena *a, const ProtobufCMessage *expected) {
  const char *p;
  size_t n;
  char where[600];
  struct weir_error err = { 0 };
  assert_int_equal(otlp_encode(d, a, &p, &n, &err), 0);
  struct gen_bytes encoded = { NULL, 0, 0 };
  gen_append(&encoded, p, n);
  ProtobufCMessage *again = oracle_read(d->signal, &encoded); /* attributes are copied as received, duplicates included */
  free(encoded.p);
  assert_non_null(again);
  if (gen_differ(expected, again, where, sizeof where)) fail_msg("what was encoded differs at %s", where);
  protobuf_c_message_free_unpacked(again, NULL);
}

/* Scan, decode and protobuf-c must agree; the tree and both ways of encoding must give what protobuf-c read. */
static void check(uint32_t signal, const struct gen_bytes *b) {
  struct otlp_counts counted, decoded;
  struct weir_error scan_err = { 0 }, err = { 0 };
  struct weir_data tree;
  struct arena a;
  char *exact = malloc(b->n ? b->n : 1); /* no byte more, so that a sanitizer sees a read past the end */
  memcpy(exact, b->p ? b->p : "", b->n);
  arena_init(&a, NULL, 0);
  int scanned = otlp_scan(signal, exact, b->n, NULL, &counted, &scan_err);
  int r = otlp_decode(signal, &a, exact, b->n, NULL, &tree, &decoded, &err);
  assert_int_equal(scanned, r);
  ProtobufCMessage *m = oracle_read(signal, b);
  if (r) {
    assert_string_equal(scan_err.msg, err.msg);
    assert_true(err.offset <= b->n);
    if (m) {
      if (!on_purpose(err.msg)) fail_msg("we refuse what protobuf-c reads: %s", err.msg);
      seen.stricter++;
    }
    seen.refused++;
  } else {
    if (!m) fail_msg("we accept what protobuf-c refuses");
    assert_int_equal(counted.items, decoded.items);
    if (oracle_differs(&tree, m)) fail_msg("the tree differs at %s", oracle_where);
    encoded_equals(&tree, &a, m);
    mark_all(&tree);
    encoded_equals(&tree, &a, m);
    seen.accepted++;
    seen.items += counted.items;
  }
  if (m) protobuf_c_message_free_unpacked(m, NULL);
  arena_done(&a);
  free(exact);
}

static void generate(struct gen *g, uint32_t signal, struct gen_bytes *b) {
  b->n = 0;
  gen_message(g, oracle_request(signal), 0, b);
}

static void run(uint64_t seed, int messages, int mutations, int wild) {
  struct gen_bytes b = { NULL, 0, 0 }, m = { NULL, 0, 0 };
  memset(&seen, 0, sizeof seen);
  for (int i = 0; i < messages; i++) {
    struct gen g = { seed + (uint64_t)i, wild, 1 + i / 3 % (mutations ? 3 : 4), 0 };
    uint32_t signal = signals[i % 3];
    generate(&g, signal, &b);
    check(signal, &b);
    for (int k = 0; k < mutations; k++) {
      m.n = 0;
      gen_append(&m, b.p, b.n);
      gen_mutate(&g, &m);
      check(signal, &m);
    }
  }
  free(b.p);
  free(m.p);
}

static void plain_messages(void **state) {
  (void)state;
  run(1000, 300, 0, 0);
  assert_int_equal(seen.accepted, 300);
  assert_true(seen.items > 500);
}

static void wild_messages(void **state) {
  (void)state;
  run(2000, 600, 0, 1);
  assert_int_equal(seen.accepted, 600);
  assert_true(seen.items > 500);
}

static void mutated_messages(void **state) {
  (void)state;
  run(3000, 150, 150, 1);
  assert_true(seen.accepted + seen.refused >= 22500);
  assert_true(seen.accepted > 1000 && seen.refused > 1000);
  assert_true(seen.stricter < seen.refused / 20); /* the exceptions are exceptions */
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(plain_messages),
    cmocka_unit_test(wild_messages),
    cmocka_unit_test(mutated_messages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
