/* Parts: sharing, own copies, edits, cutting, sizes, and where their memory goes. */
#include "part_fixture.h"

static void a_clean_part_is_sent_as_received(void **state) {
  (void)state;
  struct sample s = sample_request(0, 10);
  struct part *part = part_of(WEIR_TRACES, s.p, s.n, WEIR_VALIDATE_FULL, 1);
  assert_int_equal(part->items, 10);
  struct gen_bytes b = encoded(part);
  assert_int_equal(b.n, s.n);
  assert_memory_equal(b.p, s.p, s.n);
  free(b.p);
  free(s.p);
  part_unref(part);
}

static void edits_reach_the_wire(void **state) {
  (void)state;
  struct part *part = own(spans_part(0, 10, 1));
  struct weir_rec *a = &span_at(part, 0)->rec, *b = &span_at(part, 1)->rec, *c = &span_at(part, 2)->rec, *d = &span_at(part, 3)->rec;
  uint32_t n = a->n_attrs;
  part_attr_set(part, a, weir_str_of("new"), text("one"));
  assert_int_equal(a->dirty, RECORD_APPENDED);
  part_attr_set(part, a, weir_str_of("new"), text("two"));
  assert_int_equal(a->dirty, RECORD_APPENDED); /* what was appended may change again */
  part_attr_set(part, b, weir_str_of("url.path"), text("/changed"));
  assert_int_equal(b->dirty, RECORD_REWRITE);
  part_attr_delete(part, c, weir_str_of("url.scheme"));
  part_attr_delete(part, c, weir_str_of("not there"));
  part_attr_set(part, &((struct weir_span *)(void *)d)->events[0]->rec, weir_str_of("in event"), weir_value_int(-5));
  assert_int_equal(d->dirty, 0);
  part_attr_set(part, &part->tree->resources[0]->rec, weir_str_of("in resource"), text("r"));
  part_attr_set(part, &part->tree->resources[0]->scopes[0]->rec, weir_str_of("in scope"), text("s"));
  span_at(part, 4)->name = weir_str_of("renamed");
  part_touch(part, &span_at(part, 4)->rec);
  struct gen_bytes out = encoded(part);
  part_unref(part);
  part = part_of(WEIR_TRACES, out.p, out.n, WEIR_VALIDATE_FULL, 1);
  assert_int_equal(span_at(part, 0)->rec.n_attrs, n + 1);
  assert_true(has_text(&span_at(part, 0)->rec, "new", "two"));
  assert_int_equal(span_at(part, 1)->rec.n_attrs, n);
  assert_true(has_text(&span_at(part, 1)->rec, "url.path", "/changed"));
  assert_int_equal(span_at(part, 2)->rec.n_attrs, n - 1);
  assert_null(attr_of(&span_at(part, 2)->rec, "url.scheme"));
  assert_int_equal(attr_of(&span_at(part, 3)->events[0]->rec, "in event")->value.u.i, -5);
  assert_true(has_text(&part->tree->resources[0]->rec, "in resource", "r"));
  assert_true(has_text(&part->tree->resources[0]->rec, "service.name", "frontend"));
  assert_true(has_text(&part->tree->resources[0]->scopes[0]->rec, "in scope", "s"));
  assert_true(weir_str_eq(span_at(part, 4)->name, weir_str_of("renamed")));
  assert_true(weir_str_eq(span_at(part, 5)->name, weir_str_of("GET /api/v1/orders/:id")));
  free(out.p);
  part_unref(part);
}

static void a_shared_part_is_copied_before_it_is_written(void **state) {
  (void)state;
  struct part *part = spans_part(0, 10, 1), *copy = own(part_ref(part));
  assert_ptr_not_equal(part, copy);
  struct gen_bytes before = encoded(part);
  part_attr_set(copy, &span_at(copy, 0)->rec, weir_str_of("new"), text("x"));
  part_attr_set(copy, &span_at(copy, 1)->rec, weir_str_of("url.path"), text("x"));
  part_attr_delete(copy, &span_at(copy, 2)->rec, weir_str_of("url.path"));
  part_attr_set(copy, &span_at(copy, 3)->events[0]->rec, weir_str_of("new"), text("x"));
  span_at(copy, 4)->name = weir_str_of("x");
  part_touch(copy, &span_at(copy, 4)->rec);
  for (uint32_t i = 0; i < 5; i++) {
    assert_null(attr_of(&span_at(part, i)->rec, "new"));
    assert_int_equal(span_at(part, i)->rec.n_attrs, 10);
    assert_false(has_text(&span_at(part, i)->rec, "url.path", "x"));
  }
  assert_int_equal(span_at(part, 3)->events[0]->rec.n_attrs, 0);
  assert_int_equal(span_at(part, 4)->name.n, 22);
  struct gen_bytes after = encoded(part);
  assert_int_equal(after.n, before.n);
  assert_memory_equal(after.p, before.p, after.n);
  part_unref(part); /* the copy keeps the bytes that it points into */
  struct gen_bytes changed = encoded(copy);
  part_unref(copy);
  part = part_of(WEIR_TRACES, changed.p, changed.n, WEIR_VALIDATE_FULL, 1);
  assert_true(has_text(&span_at(part, 0)->rec, "new", "x") && has_text(&span_at(part, 0)->rec, "url.scheme", "https"));
  assert_true(has_text(&span_at(part, 1)->rec, "url.path", "x"));
  assert_null(attr_of(&span_at(part, 2)->rec, "url.path"));
  assert_true(has_text(&span_at(part, 3)->events[0]->rec, "new", "x"));
  assert_int_equal(span_at(part, 4)->name.n, 1);
  part_unref(part);
  free(before.p);
  free(after.p);
  free(changed.p);
}

static void an_exclusive_part_is_written_in_place(void **state) {
  (void)state;
  struct part *part = spans_part(0, 4, 0);
  assert_null(part->tree);
  assert_ptr_equal(own(part), part);
  assert_non_null(part->tree);
  part_unref(part);
}

static void many_parts_become_one(void **state) {
  (void)state;
  struct part *parts[3] = { spans_part(0, 4, 1), spans_part(100, 6, 0), spans_part(200, 3, 1) }, *one, *shared = part_ref(parts[1]);
  assert_int_equal(part_own(pool, parts, 3, &one, NULL), 0);
  assert_int_equal(one->items, 13);
  part_attr_set(one, &span_at(one, 5)->rec, weir_str_of("mark"), text("y"));
  part_attr_set(one, &span_at(one, 0)->rec, weir_str_of("mark"), text("y"));
  assert_null(attr_of(&span_at(shared, 1)->rec, "mark"));
  part_unref(shared);
  struct gen_bytes b = encoded(one);
  part_unref(one);
  one = part_of(WEIR_TRACES, b.p, b.n, WEIR_VALIDATE_FULL, 1);
  assert_int_equal(one->items, 13);
  assert_true(has_text(&span_at(one, 5)->rec, "mark", "y"));
  assert_true(has_text(&span_at(one, 0)->rec, "mark", "y"));
  assert_int_equal(span_at(one, 4)->start_time_unix_nano, 1700000000000000000u + 100 * 1000000u);
  part_unref(one);
  free(b.p);
}

/* A posted part that others hold too is never written: its reader gets a part of its own, and its tree stays absent. */
static void a_crossed_part_is_left_alone(void **state) {
  (void)state;
  struct part *part = spans_part(0, 4, 0), *mine = part_ref(part);
  part->flags |= PART_CROSSED;
  assert_non_null(part_read(pool, &mine, NULL));
  assert_ptr_not_equal(mine, part);
  assert_null(part->tree);
  part = own(part);
  part_attr_set(part, &span_at(part, 0)->rec, weir_str_of("new"), text("x"));
  assert_null(attr_of(&span_at(mine, 0)->rec, "new"));
  part_unref(part);
  part_unref(mine);
}

struct other_lane {
  struct part *part;
  struct budget budget;
  uint64_t items;
};

/* Another lane edits the part with its own pool, then drops it. */
static void *edit_elsewhere(void *arg) {
  struct other_lane *o = arg;
  struct pool *theirs = pool_new(&o->budget);
  pool_adopt(theirs);
  struct part *part = NULL;
  if (part_own(theirs, &o->part, 1, &part, NULL)) return NULL;
  for (uint32_t i = 0; i < 200; i++) part_attr_set(part, &span_at(part, i)->rec, weir_str_of("lane"), weir_value_int(2));
  o->items = o->budget.used > 0 ? part->items : 0; /* new memory came from here */
  part_unref(part);
  pool_free(theirs);
  return NULL;
}

static void memory_goes_home_from_another_lane(void **state) {
  (void)state;
  struct other_lane o = { spans_part(0, 200, 1), { 0 }, 0 };
  pthread_t t;
  budget_init(&o.budget, 0);
  pthread_create(&t, NULL, edit_elsewhere, &o);
  pthread_join(t, NULL);
  assert_int_equal(o.items, 200);
  assert_int_equal(o.budget.used, 0);
  assert_int_equal(budget.used, 0);
}

/* --- cutting ---------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, const void *p, size_t n) {
  const unsigned char *b = p;
  for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 0x100000001b3u;
  return (h ^ n) * 0x100000001b3u;
}

static uint64_t mix_str(uint64_t h, struct weir_str s) { return mix(h, s.p, s.n); }

static uint64_t mix_attrs(uint64_t h, const struct weir_rec *rec) {
  for (uint32_t i = 0; i < rec->n_attrs; i++) h = mix(h, rec->attrs[i].raw, rec->attrs[i].key.aux);
  return mix(h, &rec->dropped_attrs, sizeof rec->dropped_attrs);
}

struct items {
  uint64_t *v;
  size_t n, cap;
};

static void add_item(struct items *l, uint64_t h) {
  if (l->n == l->cap) l->v = realloc(l->v, (l->cap = l->cap * 2 + 64) * sizeof *l->v);
  l->v[l->n++] = h;
}

static void add_metric(struct items *l, uint64_t h, const struct weir_metric *m) {
  h = mix_attrs(mix_str(mix_str(mix_str(h, m->name), m->description), m->unit), &m->rec);
  h = mix(mix(mix(h, &m->type, 4), &m->temporality, 4), &m->is_monotonic, 4);
  for (uint32_t i = 0; i < m->n_points; i++) add_item(l, mix(h, m->points.any[i]->rec.raw, m->points.any[i]->rec.raw_n));
}

/* Each item with all that is said of it by its resource, scope and metric, as a number; behind those that are there. */
static void add_items(struct items *l, struct part *part) {
  const struct weir_data *d = part_read(pool, &part, NULL);
  assert_non_null(d);
  for (uint32_t r = 0; r < d->n_resources; r++) {
    uint64_t hr = mix_attrs(mix_str(1, d->resources[r]->schema_url), &d->resources[r]->rec);
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) {
      const struct weir_scope *scope = d->resources[r]->scopes[s];
      uint64_t h = mix_attrs(mix_str(mix_str(mix_str(hr, scope->name), scope->version), scope->schema_url), &scope->rec);
      for (uint32_t i = 0; i < scope->n_records; i++) {
        if (d->signal == WEIR_METRICS) add_metric(l, h, scope->u.metrics[i]);
        else add_item(l, mix(h, scope->u.recs[i]->raw, scope->u.recs[i]->raw_n));
      }
    }
  }
  part_unref(part);
}

static struct part *copy_of(struct part *part, uint32_t signal) {
  struct gen_bytes b = encoded(part);
  struct part *copy = part_of(signal, b.p, b.n, WEIR_VALIDATE_FULL, 1);
  free(b.p);
  return copy;
}

/* Cuts the part into pieces of `step` items; the pieces must hold what the whole held, in its order. */
static void cut_up(struct part *part, uint64_t step) {
  struct items whole = { NULL, 0, 0 }, pieces = { NULL, 0, 0 };
  add_items(&whole, copy_of(part, part->signal));
  assert_int_equal(whole.n, part->items);
  while (part->items > step) {
    struct part *head = NULL;
    uint64_t before = part->items;
    assert_int_equal(part_split(pool, &part, step, &head, NULL), 0);
    assert_int_equal(head->items, step);
    assert_int_equal(part->items, before - step);
    size_t n = pieces.n;
    add_items(&pieces, copy_of(head, head->signal));
    assert_int_equal(pieces.n - n, step);
    part_unref(head);
  }
  add_items(&pieces, copy_of(part, part->signal));
  assert_int_equal(pieces.n, whole.n);
  assert_memory_equal(pieces.v, whole.v, whole.n * sizeof *whole.v);
  free(whole.v);
  free(pieces.v);
  part_unref(part);
}

static void generated_parts_are_cut_exactly(void **state) {
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  struct gen_bytes b = { NULL, 0, 0 };
  uint64_t cut = 0;
  (void)state;
  for (uint64_t i = 0; i < 150; i++) {
    struct gen g = { 77 + i, (int)(i / 3 % 2), 1 + (int)(i % 5), 0 };
    uint32_t signal = signals[i % 3];
    b.n = 0;
    gen_message(&g, oracle_request(signal), 0, &b);
    for (int how = 0; how < 4; how++) { /* undecoded, only counted, decoded, edited */
      struct part *part = part_of(signal, b.p ? b.p : "", b.n, how == 1 ? WEIR_VALIDATE_ENVELOPE : WEIR_VALIDATE_FULL, how >= 2);
      if (how == 3) part_touch(part, part->tree->n_resources ? &part->tree->resources[0]->rec : &(struct weir_rec){ 0 });
      if (part->items) cut_up(part, 1 + gen_below(&g, part->items));
      else part_unref(part);
      cut++;
    }
  }
  assert_true(cut > 300);
  free(b.p);
}

static void unknown_fields_of_cut_containers_stand_in_both_halves(void **state) {
  (void)state;
  struct sample ss = { NULL, 0, 0 }, rs = { NULL, 0, 0 }, req = { NULL, 0, 0 };
  for (int i = 0; i < 3; i++) sample_field(&ss, 2, "\x2a\x01n", 3);
  sample_field(&ss, 98, "V", 1);
  sample_sub(&rs, 2, &ss);
  sample_field(&rs, 99, "U", 1);
  sample_sub(&req, 1, &rs);
  struct part *part = part_of(WEIR_TRACES, req.p, req.n, WEIR_VALIDATE_FULL, 0), *head;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(part_split(pool, &part, 1, &head, NULL), 0);
    struct gen_bytes h = encoded(head), t = encoded(part);
    assert_non_null(memmem(h.p, h.n, "\x92\x06\x01V", 4));
    assert_non_null(memmem(h.p, h.n, "\x9a\x06\x01U", 4));
    assert_non_null(memmem(t.p, t.n, "\x92\x06\x01V", 4));
    assert_non_null(memmem(t.p, t.n, "\x9a\x06\x01U", 4));
    assert_int_equal(h.n, req.n - 10); /* two spans of five bytes less */
    free(h.p);
    free(t.p);
    part_unref(head);
  }
  part_unref(part);
  free(ss.p);
  free(rs.p);
  free(req.p);
}

/* A part that is cut while another batch holds it: the other sees nothing of it. */
static void cutting_a_shared_part_leaves_the_other_holder(void **state) {
  (void)state;
  struct part *part = spans_part(0, 10, 0), *other = part_ref(part), *head, *head2;
  struct gen_bytes before = encoded(other);
  assert_int_equal(part_split(pool, &part, 3, &head, NULL), 0);
  struct part *tail2 = part_ref(part); /* now the rest is shared and cut again by one of the two */
  assert_int_equal(part_split(pool, &part, 3, &head2, NULL), 0);
  assert_int_equal(tail2->items, 7);
  assert_int_equal(part->items, 4);
  struct gen_bytes after = encoded(other), rest = encoded(tail2);
  assert_int_equal(other->items, 10);
  assert_memory_equal(after.p, before.p, before.n);
  struct part *again = part_of(WEIR_TRACES, rest.p, rest.n, WEIR_VALIDATE_FULL, 0);
  assert_int_equal(again->items, 7);
  part_unref(again);
  part_unref(head);
  part_unref(head2);
  part_unref(tail2);
  part_unref(part);
  part_unref(other);
  free(before.p);
  free(after.p);
  free(rest.p);
}

/* The rest of a cut part can be read and edited like any other. */
static void what_is_left_of_a_cut_can_be_edited(void **state) {
  (void)state;
  struct part *part = spans_part(0, 10, 1), *head;
  part_attr_set(part, &span_at(part, 9)->rec, weir_str_of("before"), text("b"));
  assert_int_equal(part_split(pool, &part, 4, &head, NULL), 0);
  part_unref(head);
  part = own(part);
  part_attr_set(part, &span_at(part, 0)->rec, weir_str_of("after"), text("a"));
  struct gen_bytes b = encoded(part);
  part_unref(part);
  part = part_of(WEIR_TRACES, b.p, b.n, WEIR_VALIDATE_FULL, 1);
  assert_int_equal(part->items, 6);
  assert_true(has_text(&span_at(part, 0)->rec, "after", "a"));
  assert_int_equal(span_at(part, 0)->start_time_unix_nano, 1700000000000000000u + 4 * 1000000u);
  assert_true(has_text(&span_at(part, 5)->rec, "before", "b"));
  part_unref(part);
  free(b.p);
}

/* Cutting must not look at what is left each time: 100,000 one-item cuts of a hostile message end in well under a second. */
static void many_cuts_take_linear_time(void **state) {
  (void)state;
  struct sample ss = { NULL, 0, 0 }, rs = { NULL, 0, 0 }, req = { NULL, 0, 0 };
  for (int i = 0; i < 100000; i++) sample_field(&ss, 2, "", 0);
  sample_field(&ss, 98, "V", 1);
  sample_sub(&rs, 2, &ss);
  sample_field(&rs, 99, "U", 1);
  sample_sub(&req, 1, &rs);
  struct part *part = part_of(WEIR_TRACES, req.p, req.n, WEIR_VALIDATE_FULL, 0), *head;
  uint64_t cuts = 0;
  for (; part->items > 1; cuts++) {
    assert_int_equal(part_split(pool, &part, 1, &head, NULL), 0);
    assert_true(part_bytes(head) < 40);
    part_unref(head);
  }
  assert_int_equal(cuts, 99999);
  part_unref(part);
  free(ss.p);
  free(rs.p);
  free(req.p);
}

static void refused_messages_give_their_body_back(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct part *part = NULL;
  struct weir_body *body = body_new(pool, 100);
  memcpy(body->p, "\x0a\x7f", 2);
  assert_int_equal(part_from_otlp(pool, WEIR_LOGS, body, body->p, 2, WEIR_VALIDATE_FULL, 1, NULL, &part, &err), WEIR_E_INVALID);
  assert_null(part);
  assert_int_equal(err.offset, 0);
  assert_non_null(strstr(err.msg, "127 bytes"));
  assert_int_equal(budget.used, 0);
}

/* Counted only, then read by somebody: what the first look passed over is found then. */
static void envelope_validation_fails_late(void **state) {
  (void)state;
  static const char bad[] = "\x0a\x06\x12\x04\x12\x02\x4a\x05"; /* an attribute that runs past its span */
  struct weir_error err = { 0 };
  struct part *part = part_of(WEIR_TRACES, bad, sizeof bad - 1, WEIR_VALIDATE_ENVELOPE, 0);
  assert_int_equal(part->items, 1);
  assert_null(part_read(pool, &part, &err));
  assert_int_equal(err.code, WEIR_E_INVALID);
  assert_non_null(strstr(err.msg, "resource_spans.scope_spans.spans"));
  struct part *owned = NULL;
  assert_int_equal(part_own(pool, &part, 1, &owned, &err), WEIR_E_INVALID); /* takes the reference all the same */
}

/* Limits other than the defaults hold for later decoding too. */
static void limits_stay_with_the_part(void **state) {
  (void)state;
  struct sample span = { NULL, 0, 0 }, ss = { NULL, 0, 0 }, rs = { NULL, 0, 0 }, req = { NULL, 0, 0 };
  for (int i = 0; i < 10001; i++) sample_field(&span, 9, "", 0);
  sample_sub(&ss, 2, &span);
  sample_sub(&rs, 2, &ss);
  sample_sub(&req, 1, &rs);
  struct otlp_limits limits = { .max_attributes = 20000 };
  struct weir_error err = { 0 };
  struct part *part = NULL;
  struct weir_body *body = body_new(pool, req.n);
  memcpy(body->p, req.p, req.n);
  assert_int_equal(part_from_otlp(pool, WEIR_TRACES, body, body->p, req.n, WEIR_VALIDATE_FULL, 0, &limits, &part, &err), 0);
  assert_non_null(part_read(pool, &part, &err));
  assert_int_equal(span_at(part, 0)->rec.n_attrs, 10001);
  part_unref(part);
  body = body_new(pool, req.n);
  memcpy(body->p, req.p, req.n);
  assert_int_equal(part_from_otlp(pool, WEIR_TRACES, body, body->p, req.n, WEIR_VALIDATE_FULL, 0, NULL, &part, &err), WEIR_E_LIMIT);
  assert_non_null(strstr(err.msg, "more than 10000 attributes"));
  free(span.p);
  free(ss.p);
  free(rs.p);
  free(req.p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    TEST(a_clean_part_is_sent_as_received),
    TEST(edits_reach_the_wire),
    TEST(a_shared_part_is_copied_before_it_is_written),
    TEST(an_exclusive_part_is_written_in_place),
    TEST(many_parts_become_one),
    TEST(a_crossed_part_is_left_alone),
    TEST(memory_goes_home_from_another_lane),
    TEST(generated_parts_are_cut_exactly),
    TEST(unknown_fields_of_cut_containers_stand_in_both_halves),
    TEST(cutting_a_shared_part_leaves_the_other_holder),
    TEST(what_is_left_of_a_cut_can_be_edited),
    TEST(many_cuts_take_linear_time),
    TEST(refused_messages_give_their_body_back),
    TEST(envelope_validation_fails_late),
    TEST(limits_stay_with_the_part),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
