/* What a part takes: a tree within the byte budget, and its bytes alone once it is sealed. */
#include "part_fixture.h"

/* Two bytes on the wire are 250 in the tree. What was let in by its bytes is refused before it has taken what is not there. */
static void a_tree_does_not_outgrow_the_budget(void **state) {
  (void)state;
  static const struct {
    uint64_t limit;
    int code;
  } cases[] = { { 256u << 20, 0 }, { 64u << 20, WEIR_E_NOMEM }, { 8u << 20, WEIR_E_LIMIT } };
  size_t n = 1000000;
  char *spans = malloc(2 * n);
  struct gen_bytes scope = { NULL, 0, 0 }, resource = { NULL, 0, 0 }, request = { NULL, 0, 0 };
  for (size_t i = 0; i < n / 2; i++) memcpy(spans + 2 * i, "\x12\x00", 2); /* half a million empty spans */
  gen_field(&scope, 2, spans, n);
  gen_field(&resource, 1, scope.p, scope.n);
  gen_append(&request, resource.p, resource.n);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct weir_error err = { 0 };
    struct part *part = NULL;
    struct weir_body *held = body_new(pool, cases[i].code == WEIR_E_NOMEM ? 50u << 20 : 1), *body = body_new(pool, request.n);
    memcpy(body->p, request.p, request.n);
    budget.limit = cases[i].limit;
    int r = part_from_otlp(pool, WEIR_TRACES, body, body->p, request.n, WEIR_VALIDATE_FULL, 1, NULL, &part, &err);
    assert_int_equal(r, cases[i].code);
    assert_true(budget.used < cases[i].limit + (2u << 20));
    if (r) assert_non_null(strstr(err.msg, "decoded, the message takes"));
    part_unref(part);
    body_free(held);
    budget.limit = 0;
  }
  free(spans);
  free(scope.p);
  free(resource.p);
  free(request.p);
}

/* The tree is given back; what was sent before is sent after, and can be read and edited again. */
static void a_sealed_part_is_its_bytes(void **state) {
  (void)state;
  for (int edited = 0; edited < 2; edited++) {
    struct part *part = own(spans_part(0, 50, 1));
    if (edited)
      for (uint32_t i = 0; i < 50; i += 2) part_attr_set(part, &span_at(part, i)->rec, weir_str_of("team"), text("blue"));
    struct gen_bytes before = encoded(part);
    uint64_t used = budget.used;
    part_seal(pool, part);
    assert_null(part->tree);
    assert_true(budget.used < used);
    struct gen_bytes after = encoded(part);
    assert_int_equal(after.n, before.n);
    assert_memory_equal(after.p, before.p, before.n);
    part_seal(pool, part); /* nothing left to do */
    part = own(part);
    assert_int_equal(has_text(&span_at(part, 48)->rec, "team", "blue"), edited);
    part_attr_set(part, &span_at(part, 49)->rec, weir_str_of("team"), text("red"));
    part_seal(pool, part);
    assert_non_null(part_read(pool, &part, NULL));
    assert_true(has_text(&span_at(part, 49)->rec, "team", "red"));
    free(before.p);
    free(after.p);
    part_unref(part);
  }
}

static void a_shared_part_is_not_sealed(void **state) {
  (void)state;
  struct part *part = own(spans_part(0, 5, 1)), *other = part_ref(part);
  part_seal(pool, part);
  assert_non_null(other->tree);
  part_unref(other);
  part_unref(part);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    TEST(a_tree_does_not_outgrow_the_budget),
    TEST(a_sealed_part_is_its_bytes),
    TEST(a_shared_part_is_not_sealed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
