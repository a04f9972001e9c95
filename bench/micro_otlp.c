/*
 * bench/micro_otlp.c - what the data model costs, in ns of CPU per span: scan, count, decode, encode clean and edited, placement by key, JSON both ways; and the tree's size.
 * Usage: micro_otlp [spans per request, default 100]. Each figure is the minimum of 7 rounds.
 */
#include <time.h>

#include "bench/otlp_sample.h"
#include "core/arena.h"
#include "core/batch.h"
#include "core/otlp_json.h"
#include "plugins/kit/hash.h"

#define LANES 4

static struct sample request;
static struct weir_body *json;
static struct part *json_part;
static uint64_t spans = 100;
static struct pool *pool;
static struct loop loop;

static double cpu_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void must(int r) {
  if (r) {
    fprintf(stderr, "micro_otlp: failed with %d\n", r);
    exit(1);
  }
}

static struct weir_body *copy_body(void) {
  struct weir_body *body = body_new(pool, request.n);
  if (!body) exit(1);
  memcpy(body->p, request.p, request.n);
  body->n = request.n;
  return body;
}

static struct part *new_part(int decode) {
  struct weir_error err;
  struct part *part = NULL;
  struct weir_body *body = copy_body();
  must(part_from_otlp(pool, WEIR_TRACES, body, body->p, body->n, WEIR_VALIDATE_FULL, decode, NULL, &part, &err));
  return part;
}

static void run_copy(void) { body_free(copy_body()); }

static void run_count(void) {
  struct otlp_counts c;
  must(otlp_count(WEIR_TRACES, request.p, request.n, NULL, &c, NULL));
}

static void run_scan(void) {
  struct otlp_counts c;
  must(otlp_scan(WEIR_TRACES, request.p, request.n, NULL, &c, NULL));
}

static void run_decode(void) {
  struct arena a;
  struct weir_data tree;
  struct otlp_counts c;
  arena_init(&a, pool, request.n * 2);
  must(otlp_decode(WEIR_TRACES, &a, request.p, request.n, NULL, &tree, &c, NULL));
  arena_done(&a);
}

static void encode_and_free(struct part *part) {
  struct iov_list out = { NULL, 0, 0, { { NULL, 0 } } };
  struct arena scratch;
  size_t n;
  arena_init(&scratch, pool, 0);
  must(part_encode(part, &scratch, &out, &n, NULL));
  iov_done(&out);
  arena_done(&scratch);
  part_unref(part);
}

static void run_part(void) { part_unref(new_part(1)); }

static void run_reframe(void) { /* clean records, new containers */
  struct part *part = new_part(1);
  part->flags |= PART_DIRTY;
  encode_and_free(part);
}

static void each_span(struct part *part, void (*fn)(struct part *, struct weir_rec *)) {
  for (uint32_t r = 0; r < part->tree->n_resources; r++)
    for (uint32_t s = 0; s < part->tree->resources[r]->n_scopes; s++) {
      struct weir_scope *scope = part->tree->resources[r]->scopes[s];
      for (uint32_t i = 0; i < scope->n_records; i++) fn(part, scope->u.recs[i]);
    }
}

static void insert(struct part *part, struct weir_rec *rec) { part_attr_set(part, rec, weir_str_of("deployment.environment.name"), weir_value_str("production", 10)); }

static void run_insert(void) {
  struct part *part = new_part(1);
  each_span(part, insert);
  encode_and_free(part);
}

static void run_rewrite(void) {
  struct part *part = new_part(1);
  each_span(part, part_touch);
  encode_and_free(part);
}

static void run_from_json(void) {
  struct weir_body *body;
  struct otlp_counts c;
  struct weir_error err;
  must(otlp_json_decode(pool, WEIR_TRACES, json->p, json->n, NULL, &body, &c, &err));
  body_free(body);
}

static void run_to_json(void) {
  struct weir_body *body;
  struct weir_error err;
  must(otlp_json_encode(pool, json_part->tree, &body, &err));
  body_free(body);
}

static struct kit_hash_key hash_key;

static uint64_t trace_key(const struct weir_resource *resource, const struct weir_scope *scope, const struct weir_rec *rec) {
  (void)resource;
  (void)scope;
  struct weir_str id = ((const struct weir_span *)(const void *)rec)->trace_id;
  return kit_hash(&hash_key, id.p, id.n);
}

static void run_place(void) { /* cut for four lanes by trace; another fourth of the records each */
  struct weir_batch *pieces[LANES];
  must(batch_place(batch_of_part(&loop, new_part(1)), trace_key, LANES, 0, pieces, NULL));
  for (uint32_t i = 0; i < LANES; i++)
    if (pieces[i]) batch_free(pieces[i]);
}

static double measure(void (*fn)(void)) {
  double best = 1e18;
  uint64_t times = 200000 / spans + 1;
  for (int round = 0; round < 7; round++) {
    double t = cpu_ns();
    for (uint64_t i = 0; i < times; i++) fn();
    t = (cpu_ns() - t) / (double)(times * spans);
    if (t < best) best = t;
  }
  return best;
}

int main(int argc, char **argv) {
  struct weir_error err;
  if (argc > 1) spans = strtoull(argv[1], NULL, 10);
  if (!spans || loop_init(&loop, 0, NULL, &err)) return 2;
  pool = loop.pool;
  pool_adopt(pool);
  request = sample_request(0, spans);
  struct part *part = new_part(1);
  printf("%llu spans, %zu bytes (%.0f a span), tree %.2f x the wire\n", (unsigned long long)spans, request.n, (double)request.n / (double)spans,
    (double)arena_size(&part->arena) / (double)request.n);
  part_unref(part);
  double copy = measure(run_copy), decoded = measure(run_part);
  printf("copy          %7.1f ns/span\n", copy);
  printf("count         %7.1f\n", measure(run_count));
  printf("scan          %7.1f\n", measure(run_scan));
  printf("decode        %7.1f\n", measure(run_decode));
  printf("re-frame      %7.1f (clean records)\n", measure(run_reframe) - decoded);
  printf("insert+encode %7.1f (one attribute on every span)\n", measure(run_insert) - decoded);
  printf("rewrite       %7.1f (every span dirty)\n", measure(run_rewrite) - decoded);
  kit_hash_key_draw(&hash_key);
  printf("place         %7.1f (by trace on %d lanes, hashing included)\n", measure(run_place) - decoded, LANES);
  json_part = new_part(1);
  must(otlp_json_encode(pool, json_part->tree, &json, &err));
  printf("json-decode   %7.1f (%.0f bytes of JSON a span, to protobuf)\n", measure(run_from_json), (double)json->n / (double)spans);
  printf("json-encode   %7.1f (from the tree)\n", measure(run_to_json));
  body_free(json);
  part_unref(json_part);
  free(request.p);
  loop_done(&loop);
  return 0;
}
