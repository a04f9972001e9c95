/* Cutting a part by where its records belong: what is in the pieces, against protobuf-c; sharing, sizes, and where the memory goes. */
#include "part_fixture.h"

#include <stdio.h>

static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };

static uint32_t n_records(const struct part *part) {
  uint32_t n = 0;
  for (uint32_t r = 0; r < part->tree->n_resources; r++)
    for (uint32_t s = 0; s < part->tree->resources[r]->n_scopes; s++) n += part->tree->resources[r]->scopes[s]->n_records;
  return n;
}

/* A lane for each record. */
static uint8_t *random_lanes(struct gen *g, const struct part *part, uint32_t n) {
  uint32_t records = n_records(part);
  uint8_t *lanes = malloc(records + 1);
  for (uint32_t i = 0; i < records; i++) lanes[i] = (uint8_t)gen_below(g, n);
  return lanes;
}

static void place(struct part *part, const uint8_t *lanes, uint32_t n, struct part **pieces) {
  struct weir_error err = { 0 };
  if (part_place(pool, part, lanes, n, 0, pieces, &err)) fail_msg("%s", err.msg);
}

static void unref_all(struct part **pieces, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) part_unref(pieces[i]);
}

/* --- what protobuf-c says a lane should have -------------------------------------------------------------------- */

static ProtobufCMessage *oracle_read(uint32_t signal, const struct gen_bytes *b) {
  struct gen_bytes normal = { NULL, 0, 0 };
  ProtobufCMessage *m = NULL;
  if (gen_normalize(oracle_request(signal), b->p ? b->p : "", b->n, &normal))
    m = protobuf_c_message_unpack(oracle_request(signal), NULL, normal.n, (const uint8_t *)normal.p);
  free(normal.p);
  assert_non_null(m);
  return m;
}

/* A repeated message field. */
static ProtobufCMessage **children(ProtobufCMessage *m, unsigned number, size_t **ret_n) {
  const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(m->descriptor, number);
  ProtobufCMessage **v;
  memcpy(&v, (char *)m + f->offset, sizeof v);
  *ret_n = (size_t *)(void *)((char *)m + f->quantifier_offset);
  return v;
}

/* Takes out the records of other lanes, and what is empty then. depth 0: resources, 1: scopes, 2: records. */
static void keep_lane(ProtobufCMessage *m, int depth, const uint8_t **lanes, uint8_t lane) {
  size_t *n, kept = 0;
  ProtobufCMessage **v = children(m, depth ? 2 : 1, &n);
  for (size_t i = 0; i < *n; i++) {
    int keep;
    if (depth == 2) {
      keep = *(*lanes)++ == lane;
    } else {
      size_t *left;
      keep_lane(v[i], depth + 1, lanes, lane);
      children(v[i], 2, &left);
      keep = *left > 0;
    }
    if (keep) v[kept++] = v[i];
    else protobuf_c_message_free_unpacked(v[i], NULL);
  }
  *n = kept;
}

static void drop_unknown(ProtobufCMessage *m) {
  for (unsigned i = 0; i < m->n_unknown_fields; i++) free(m->unknown_fields[i].data);
  free(m->unknown_fields);
  m->unknown_fields = NULL;
  m->n_unknown_fields = 0;
}

/* whole: the wire form of what was cut. */
static void check_piece(struct part *piece, const struct gen_bytes *whole, const uint8_t *lanes, uint8_t lane, int first) {
  char where[600];
  ProtobufCMessage *expected = oracle_read(piece->signal, whole);
  keep_lane(expected, 0, &lanes, lane);
  if (!first) drop_unknown(expected); /* the request's go with the first piece */
  struct gen_bytes b = encoded(piece);
  ProtobufCMessage *m = oracle_read(piece->signal, &b);
  if (gen_differ(expected, m, where, sizeof where)) fail_msg("a piece differs at %s", where);
  struct part *again = part_of(piece->signal, b.p, b.n, WEIR_VALIDATE_FULL, 1);
  assert_int_equal(again->items, piece->items);
  part_unref(again);
  protobuf_c_message_free_unpacked(m, NULL);
  protobuf_c_message_free_unpacked(expected, NULL);
  free(b.p);
}

static void cut_and_check(struct part *part, const uint8_t *lanes, uint32_t n) {
  struct part *pieces[PART_LANES_MAX];
  struct gen_bytes whole = encoded(part);
  uint64_t items = 0;
  int first = 1;
  place(part, lanes, n, pieces);
  for (uint32_t i = 0; i < n; i++) {
    if (!pieces[i]) continue;
    items += pieces[i]->items;
    if (pieces[i] == part) { /* as it is, with what is empty in it */
      assert_int_equal(lanes[0], i);
      continue;
    }
    check_piece(pieces[i], &whole, lanes, (uint8_t)i, first);
    first = 0;
  }
  if (n_records(part)) assert_int_equal(items, part->items);
  struct gen_bytes after = encoded(part); /* the whole is as it was */
  assert_int_equal(after.n, whole.n);
  if (whole.n) assert_memory_equal(after.p, whole.p, whole.n);
  unref_all(pieces, n);
  free(after.p);
  free(whole.p);
}

static void edit_some(struct gen *g, struct part *part) {
  for (uint32_t r = 0; r < part->tree->n_resources; r++) {
    struct weir_resource *resource = part->tree->resources[r];
    if (gen_below(g, 3) == 0) part_attr_set(part, &resource->rec, weir_str_of("in resource"), text("a value that was not there before"));
    for (uint32_t s = 0; s < resource->n_scopes; s++) {
      struct weir_scope *scope = resource->scopes[s];
      if (gen_below(g, 3) == 0) part_attr_set(part, &scope->rec, weir_str_of("in scope"), weir_value_int(-1));
      for (uint32_t i = 0; i < scope->n_records; i++) {
        if (gen_below(g, 2) == 0) part_attr_set(part, scope->u.recs[i], weir_str_of("in record"), text("v"));
        if (gen_below(g, 4) == 0) part_touch(part, scope->u.recs[i]);
      }
    }
  }
}

/* All signals, tame and wild (any order of fields, unknown ones), clean and edited, one to many lanes. */
static void generated_parts_are_what_protobuf_says(void **state) {
  struct gen_bytes b = { NULL, 0, 0 };
  uint64_t records = 0, emptied = 0;
  (void)state;
  for (uint64_t i = 0; i < 240; i++) {
    struct gen g = { 4711 + i, (int)(i / 3 % 2), 1 + (int)(i % 5), 0 };
    uint32_t signal = signals[i % 3];
    b.n = 0;
    gen_message(&g, oracle_request(signal), 0, &b);
    for (int edit = 0; edit < 2; edit++) {
      struct part *part = part_of(signal, b.p ? b.p : "", b.n, WEIR_VALIDATE_FULL, 1);
      if (edit) edit_some(&g, part);
      uint32_t n = 1 + (uint32_t)gen_below(&g, i % 7 ? 5 : PART_LANES_MAX);
      uint8_t *lanes = random_lanes(&g, part, n);
      records += n_records(part);
      emptied += n_records(part) == 0;
      cut_and_check(part, lanes, n);
      free(lanes);
      part_unref(part);
    }
  }
  assert_true(records > 2000 && emptied > 5);
  free(b.p);
}

/* --- sharing ---------------------------------------------------------------------------------------------------------- */

static void records_are_shared_and_their_bytes_copied_as_received(void **state) {
  (void)state;
  struct part *part = spans_part(0, 100, 1), *pieces[3];
  uint8_t lanes[100];
  size_t bytes = part_bytes(part), sum = 0;
  for (int i = 0; i < 100; i++) lanes[i] = (uint8_t)(i % 3);
  place(part, lanes, 3, pieces);
  for (uint32_t k = 0; k < 3; k++) {
    assert_int_equal(pieces[k]->items, k ? 33 : 34);
    for (uint32_t i = 0; i < pieces[k]->items; i++) {
      assert_ptr_equal(span_at(pieces[k], i), span_at(part, 3 * i + k)); /* the records themselves, in their order */
      assert_int_equal(span_at(pieces[k], i)->rec.dirty, 0);
    }
    struct gen_bytes b = encoded(pieces[k]);
    assert_int_equal(part_bytes(pieces[k]), b.n); /* exact, as all of it is clean */
    assert_non_null(memmem(b.p, b.n, span_at(part, k)->rec.raw, span_at(part, k)->rec.raw_n));
    sum += b.n;
    free(b.p);
  }
  assert_true(sum > bytes && sum < bytes + 2000); /* the resources stand in each */
  part_unref(part);                               /* the pieces hold the bytes */
  part_unref(pieces[0]);
  part_unref(pieces[1]);
  assert_int_equal(span_at(pieces[2], 32)->rec.n_attrs, 10);
  part_unref(pieces[2]);
}

static void one_lane_gets_the_part_itself(void **state) {
  (void)state;
  struct part *part = spans_part(0, 10, 1), *one = spans_part(50, 1, 1), *pieces[4];
  uint8_t lanes[10];
  memset(lanes, 2, sizeof lanes);
  place(part, lanes, 4, pieces);
  assert_ptr_equal(pieces[2], part);
  assert_true(!pieces[0] && !pieces[1] && !pieces[3]);
  unref_all(pieces, 4);
  place(one, lanes, 4, pieces);
  assert_ptr_equal(pieces[2], one);
  unref_all(pieces, 4);
  part_unref(part);
  part_unref(one);
}

/* Resources and scopes that nobody has a record of, alone and among others. */
static void what_holds_no_record_is_left_out(void **state) {
  (void)state;
  struct sample empty_scope = { NULL, 0, 0 }, scope = { NULL, 0, 0 }, empty = { NULL, 0, 0 }, full = { NULL, 0, 0 }, req = { NULL, 0, 0 };
  sample_field(&scope, 2, "\x2a\x01n", 3);
  sample_field(&scope, 2, "\x2a\x01m", 3);
  sample_sub(&empty, 2, &empty_scope);
  sample_sub(&full, 2, &empty_scope);
  sample_sub(&full, 2, &scope);
  sample_sub(&req, 1, &empty);
  struct part *part = part_of(WEIR_TRACES, req.p, req.n, WEIR_VALIDATE_FULL, 1), *pieces[2];
  place(part, NULL, 2, pieces);
  assert_true(!pieces[0] && !pieces[1]);
  part_unref(part);
  sample_sub(&req, 1, &full);
  part = part_of(WEIR_TRACES, req.p, req.n, WEIR_VALIDATE_FULL, 1);
  place(part, (const uint8_t[]){ 1, 0 }, 2, pieces);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(pieces[i]->tree->n_resources, 1);
    assert_int_equal(pieces[i]->tree->resources[0]->n_scopes, 1);
    assert_int_equal(pieces[i]->items, 1);
  }
  assert_int_equal(span_at(pieces[0], 0)->name.p[0], 'm');
  unref_all(pieces, 2);
  part_unref(part);
  free(empty_scope.p);
  free(scope.p);
  free(empty.p);
  free(full.p);
  free(req.p);
}

/* Whoever edits a piece, edits a copy: another batch may read the whole. */
static void an_edit_is_seen_in_one_piece_only(void **state) {
  (void)state;
  struct part *part = spans_part(0, 10, 1), *pieces[2];
  uint8_t lanes[10] = { 0, 1, 0, 1, 0, 1, 0, 1, 0, 1 };
  struct gen_bytes before = encoded(part);
  place(part, lanes, 2, pieces);
  pieces[0] = own(pieces[0]);
  part_attr_set(pieces[0], &span_at(pieces[0], 1)->rec, weir_str_of("new"), text("x"));
  part_attr_set(pieces[0], &pieces[0]->tree->resources[0]->rec, weir_str_of("new"), text("x"));
  assert_null(attr_of(&span_at(part, 2)->rec, "new"));
  assert_null(attr_of(&pieces[1]->tree->resources[0]->rec, "new"));
  struct gen_bytes after = encoded(part), changed = encoded(pieces[0]);
  assert_memory_equal(after.p, before.p, before.n);
  part_unref(part);
  part = part_of(WEIR_TRACES, changed.p, changed.n, WEIR_VALIDATE_FULL, 1);
  assert_int_equal(part->items, 5);
  assert_true(has_text(&span_at(part, 1)->rec, "new", "x") && has_text(&part->tree->resources[0]->rec, "new", "x"));
  part_unref(part);
  unref_all(pieces, 2);
  free(before.p);
  free(after.p);
  free(changed.p);
}

/* A piece is cut by count, sealed, merged and placed again like any other part. */
static void a_piece_is_a_part_like_any_other(void **state) {
  (void)state;
  struct part *part = spans_part(0, 40, 1), *pieces[2], *again[3], *head, *whole;
  uint8_t lanes[40];
  for (int i = 0; i < 40; i++) lanes[i] = (uint8_t)(i % 2);
  place(part, lanes, 2, pieces);
  part_unref(part);
  part_seal(pool, pieces[1]); /* no effect: it may be read elsewhere */
  assert_non_null(pieces[1]->tree);
  for (int i = 0; i < 20; i++) lanes[i] = (uint8_t)(i % 3);
  place(pieces[1], lanes, 3, again);
  assert_int_equal(again[2]->items, 6);
  assert_int_equal(span_at(again[2], 1)->start_time_unix_nano, 1700000000000000000u + 11 * 1000000u);
  assert_int_equal(part_split(pool, &pieces[0], 7, &head, NULL), 0);
  assert_int_equal(head->items + pieces[0]->items, 20);
  struct part *all[6] = { head, pieces[0], again[0], again[1], again[2], pieces[1] };
  assert_int_equal(part_own(pool, all, 5, &whole, NULL), 0);
  assert_int_equal(whole->items, 40);
  struct gen_bytes b = encoded(whole);
  struct part *read = part_of(WEIR_TRACES, b.p, b.n, WEIR_VALIDATE_FULL, 1);
  assert_int_equal(read->items, 40);
  part_unref(read);
  part_unref(whole);
  part_unref(pieces[1]);
  free(b.p);
}

/* --- memory ------------------------------------------------------------------------------------------------------------- */

struct other_lane {
  struct part *piece;
  struct gen_bytes sent;
};

/* Another lane reads, edits and encodes its piece with its own pool, while this one does with its own. */
static void *use_elsewhere(void *arg) {
  struct other_lane *o = arg;
  struct budget theirs_budget;
  budget_init(&theirs_budget, 0);
  struct pool *theirs = pool_new(&theirs_budget);
  pool_adopt(theirs);
  struct iov_list out = { NULL, 0, 0, { { NULL, 0 } } };
  struct arena scratch;
  size_t n;
  arena_init(&scratch, theirs, 0);
  if (part_read(theirs, &o->piece, NULL) && !part_encode(o->piece, &scratch, &out, &n, NULL))
    gen_append(&o->sent, out.inline_v[0].p, out.inline_v[0].n);
  arena_done(&scratch);
  struct part *mine = NULL;
  if (!part_own(theirs, &o->piece, 1, &mine, NULL)) {
    part_attr_set(mine, &span_at(mine, 0)->rec, weir_str_of("lane"), weir_value_int(2));
    part_unref(mine);
  }
  pool_free(theirs);
  return NULL;
}

static void pieces_are_used_on_their_lanes_at_the_same_time(void **state) {
  (void)state;
  struct part *part = spans_part(0, 300, 1), *pieces[3];
  uint8_t lanes[300];
  pthread_t t[2];
  for (int i = 0; i < 300; i++) lanes[i] = (uint8_t)(i % 3);
  place(part, lanes, 3, pieces);
  part_unref(part);
  struct other_lane o[2] = { { pieces[1], { NULL, 0, 0 } }, { pieces[2], { NULL, 0, 0 } } };
  for (int i = 0; i < 2; i++) pthread_create(&t[i], NULL, use_elsewhere, &o[i]);
  struct part *mine = own(pieces[0]);
  for (uint32_t i = 0; i < 100; i++) part_attr_set(mine, &span_at(mine, i)->rec, weir_str_of("lane"), weir_value_int(0));
  struct gen_bytes sent = encoded(mine);
  part_unref(mine);
  for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
  for (int i = 0; i < 2; i++) {
    struct part *read = part_of(WEIR_TRACES, o[i].sent.p, o[i].sent.n, WEIR_VALIDATE_FULL, 1);
    assert_int_equal(read->items, 100);
    part_unref(read);
    free(o[i].sent.p);
  }
  free(sent.p);
}

/* 100,000 scopes of one empty record each: the copies of their containers are more than the message. */
static void where_the_budget_has_no_room_it_is_refused(void **state) {
  (void)state;
  struct sample ss = { NULL, 0, 0 }, rs = { NULL, 0, 0 }, req = { NULL, 0, 0 };
  struct weir_error err = { 0 };
  uint8_t *lanes = malloc(100000);
  sample_field(&ss, 2, "", 0);
  for (int i = 0; i < 100000; i++) sample_field(&rs, 2, ss.p, ss.n);
  sample_sub(&req, 1, &rs);
  struct part *part = part_of(WEIR_TRACES, req.p, req.n, WEIR_VALIDATE_FULL, 1), *pieces[4];
  for (int i = 0; i < 100000; i++) lanes[i] = (uint8_t)(i % 4);
  budget.limit = budget.used + 1000000;
  assert_int_equal(part_place(pool, part, lanes, 4, 0, pieces, &err), WEIR_E_NOMEM);
  assert_int_equal(part_place(pool, part, lanes, 4, 1, pieces, &err), 0); /* what nobody waits for is not lost for that */
  for (int i = 0; i < 4; i++) assert_int_equal(pieces[i]->items, 25000);
  unref_all(pieces, 4);
  part_unref(part);
  free(lanes);
  free(ss.p);
  free(rs.p);
  free(req.p);
}

int main(void) {
  const struct CMUnitTest tests[] = { TEST(generated_parts_are_what_protobuf_says), TEST(records_are_shared_and_their_bytes_copied_as_received),
    TEST(one_lane_gets_the_part_itself), TEST(what_holds_no_record_is_left_out), TEST(an_edit_is_seen_in_one_piece_only),
    TEST(a_piece_is_a_part_like_any_other), TEST(pieces_are_used_on_their_lanes_at_the_same_time), TEST(where_the_budget_has_no_room_it_is_refused) };
  return cmocka_run_group_tests_name("part_place", tests, NULL, NULL);
}
