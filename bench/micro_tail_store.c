/*
 * bench/micro_tail_store.c - what tail sampling's store and table cost: ns per span to find or add its trace, to put, to release; ns per trace to write, raw and
 * compressed; memory over wire bytes; the longest single call of each kind, in CPU time of the thread.
 *
 * Usage: micro_tail_store [traces, default 100000] [traces per batch, default 100] [one mode only: spread, spread-steady, spread-calls, whole ...]. A trace is 10 spans of about 440 bytes of 10 services, ids and times at random. Shapes: `spread` (a batch is one span of each
 * of so many traces, so a trace is in ten batches, as SDKs send) and `whole` (a trace's spans in a row, two to a service, as a balancer in front sends). All are held before the first is written
 * (every 20th) and all are released: find-add and put are with memory that is new to the process. `calls` times each call for the longest, the others by the batch. `steady` is as production runs:
 * with each group that comes the oldest goes, at a tenth of the traces held.
 */
#include <time.h>
#include <unistd.h>

#include "bench/otlp_sample.h"
#include "plugins/kit/bytes.h"
#include "processors/tail_sampling/table.h"

enum { SERVICES = 10, SPANS = 10, KEEP_ONE_IN = 20 };

static uint64_t n_traces = 100000, per_batch = 100;
static struct weir_resource resources[SERVICES];
static struct weir_scope scope;
static uint64_t rnd;

static uint64_t next(void) { /* splitmix64 */
  uint64_t z = rnd += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static double cpu_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* --- spans ---------------------------------------------------------------------------------------------------- */

struct made {
  struct sample bytes;
  size_t *ends;
  struct ts_trace **traces;
  uint64_t *numbers;
  uint64_t n;
};

static void id_of(uint64_t trace, uint8_t id[16]) {
  uint64_t saved = rnd, words[2];
  rnd = trace * 0x123456789abcdefu;
  words[0] = next();
  words[1] = next();
  memcpy(id, words, 16);
  rnd = saved;
}

/* sample_span, with a user's id; its ids and times, which stand at fixed places, are replaced. */
static void make_span(struct made *m, uint64_t trace, uint64_t k) {
  size_t from = m->bytes.n;
  char user[32];
  sample_span(&m->bytes, trace * SPANS + k);
  snprintf(user, sizeof user, "u-%016llx", (unsigned long long)next());
  sample_attr(&m->bytes, 9, "enduser.id", user, 0);
  uint64_t span = next(), parent = next(), start = 1700000000000000000u + trace * 100000 + next() % (1 << 24), end = start + next() % (1 << 27);
  char *p = m->bytes.p + from;
  id_of(trace, (uint8_t *)p + 2);
  memcpy(p + 20, &span, 8);
  memcpy(p + 30, &parent, 8);
  memcpy(p + 65, &start, 8);
  memcpy(p + 74, &end, 8);
  m->ends[m->n] = m->bytes.n;
  m->numbers[m->n++] = trace;
}

static void make_services(void) {
  for (int i = 0; i < SERVICES; i++) {
    struct sample s = { NULL, 0, 0 };
    char name[32];
    snprintf(name, sizeof name, "service-%d", i);
    sample_attr(&s, 1, "service.name", name, 0);
    sample_attr(&s, 1, "k8s.pod.name", "checkout-7d4b9c6f5-x2x9z", 0);
    sample_attr(&s, 1, "k8s.namespace.name", "shop", 0);
    sample_attr(&s, 1, "host.name", "node-17.example.internal", 0);
    sample_attr(&s, 1, "telemetry.sdk.language", "java", 0);
    resources[i] = (struct weir_resource){ .rec = { .raw = s.p, .raw_n = (uint32_t)s.n } };
  }
  scope = (struct weir_scope){ .rec = { .raw = "\x0a\x15io.opentelemetry.http\x12\x06"
                                               "1.27.0",
                                 .raw_n = 31 } };
}

/* --- what is measured ----------------------------------------------------------------------------------------------- */

struct cost {
  const char *name;
  double ns, longest;
  uint64_t n;
};

static struct cost find_add = { .name = "find-add" }, put = { .name = "put" }, out = { .name = "write" }, out_packed = { .name = "write-compressed" };
static struct cost pack = { .name = "compress" }, gone = { .name = "release" }, removed = { .name = "remove" };
static struct cost *const costs[] = { &find_add, &put, &out, &pack, &out_packed, &gone, &removed };
static int each_call; /* the clock is read around each */

static void add(struct cost *c, double began, uint64_t n) {
  double took = cpu_ns() - began;
  c->ns += took;
  c->n += n;
  if (took > c->longest) c->longest = took;
}

static struct ts_trace *find_or_add(struct ts_table *t, const char *raw) {
  const uint8_t *id = (const uint8_t *)raw + 2;
  uint64_t hash = ts_table_hash(t, id);
  struct ts_trace *e = ts_table_find(t, id, hash);
  return e ? e : ts_table_add(t, id, hash);
}

static void put_span(struct ts_store *s, const struct made *m, uint64_t i, int service) {
  size_t from = i ? m->ends[i - 1] : 0;
  char *p = m->bytes.p + from;
  struct weir_span span = { .rec = { .raw = p, .raw_n = (uint32_t)(m->ends[i] - from) }, .span_id = { p + 20, 8, 0 }, .parent_span_id = { p + 30, 8, 0 } };
  struct ts_trace *e = m->traces[i];
  if (!(e->newest = ts_store_put(s, &resources[service], &scope, &span, e->newest))) abort();
}

static void take_batch(struct ts_store *s, struct ts_table *t, struct made *m, int whole, int service) {
  double began = cpu_ns();
  for (uint64_t i = 0; i < m->n; i++) {
    m->traces[i] = find_or_add(t, m->bytes.p + (i ? m->ends[i - 1] : 0));
    if (each_call) add(&find_add, began, 1), began = cpu_ns();
  }
  if (!each_call) add(&find_add, began, m->n);
  ts_store_batch(s);
  began = cpu_ns();
  for (uint64_t i = 0; i < m->n; i++) {
    put_span(s, m, i, whole ? (int)((m->numbers[i] + i % SPANS / 2) % SERVICES) : service);
    if (each_call) add(&put, began, 1), began = cpu_ns();
  }
  if (!each_call) add(&put, began, m->n);
}

static void write_some(struct ts_store *s, const struct ts_table *t, struct cost *c) {
  struct kit_bytes b = { 0 };
  uint64_t k = 0;
  for (const struct ts_trace *e = ts_table_oldest(t); e; e = e->newer) {
    if (k++ % KEEP_ONE_IN) continue;
    double began = cpu_ns();
    b.n = 0;
    if (ts_store_write(s, e->newest, &b)) abort();
    add(c, began, 1);
  }
  kit_bytes_free(&b);
}

static void release(struct ts_store *s, struct ts_table *t, uint64_t hold) {
  for (struct ts_trace *e; ts_table_count(t) > hold && (e = ts_table_oldest(t)) != NULL;) {
    double began = cpu_ns();
    uint64_t n = 0;
    for (struct ts_trace *x = e; x && n < (each_call ? 1 : 100); x = x->newer, n++) ts_store_release(s, x->newest);
    add(&gone, began, n * SPANS);
    began = cpu_ns();
    for (uint64_t i = 0; i < n; i++) ts_table_remove(t, ts_table_oldest(t));
    add(&removed, began, n);
  }
}

/* Holds at most so many. */
static void fill(struct ts_store *s, struct ts_table *t, int whole, uint64_t hold) {
  uint64_t cap = per_batch > SPANS ? per_batch : SPANS;
  struct made m = { .ends = calloc(cap, sizeof(size_t)), .numbers = calloc(cap, 8), .traces = calloc(cap, sizeof(void *)) };
  for (uint64_t from = 0; from < n_traces; from += per_batch) {
    for (uint64_t i = 0; i < (whole ? per_batch : SPANS); i++) {
      m.n = m.bytes.n = 0;
      if (whole)
        for (uint64_t k = 0; k < SPANS; k++) make_span(&m, from + i, k);
      else
        for (uint64_t k = 0; k < per_batch; k++) make_span(&m, from + k, i);
      take_batch(s, t, &m, whole, (int)i % SERVICES);
    }
    release(s, t, hold);
  }
  free(m.ends);
  free(m.numbers);
  free((void *)m.traces);
  free(m.bytes.p);
}

static double rss(void) {
  long pages = 0, ignored;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%ld %ld", &ignored, &pages) != 2) pages = 0;
  if (f) fclose(f);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void tell_memory(const char *what, const struct ts_store *s, const struct ts_table *t, double before) {
  struct ts_store_stats st;
  ts_store_stats(s, &st);
  double wire = (double)st.wire_bytes, table = (double)ts_table_bytes(t), store = (double)st.bytes;
  printf("  %s: %.1f bytes a span, %.3f of wire (store %.3f, table %.3f: %.0f bytes a trace); resident %.3f of wire, %.2f GB\n", what, (store + table) / (double)st.spans, (store + table) / wire, store / wire,
    table / wire, table / (double)ts_table_count(t), (rss() - before) / wire, (rss() - before) / 1e9);
}

static void run(int whole) {
  double before = rss();
  struct ts_store *s = ts_store_new();
  struct ts_table *t = ts_table_new(1);
  if (!s || !t) abort();
  for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) *costs[i] = (struct cost){ .name = costs[i]->name };
  rnd = 1;
  fill(s, t, whole, UINT64_MAX);
  if (!each_call) tell_memory("held", s, t, before);
  write_some(s, t, &out);
  for (int r = 1; r;) {
    double began = cpu_ns();
    r = ts_store_compress_one(s);
    add(&pack, began, 1);
  }
  ts_store_trim(s);
  if (!each_call) tell_memory("compressed", s, t, before);
  write_some(s, t, &out_packed);
  release(s, t, 0);
  ts_store_free(s);
  ts_table_free(t);
  for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
    if (each_call) printf("  %s longest %.3f ms\n", costs[i]->name, costs[i]->longest / 1e6);
    else printf("  %s %.1f ns\n", costs[i]->name, costs[i]->ns / (double)costs[i]->n);
}

static void run_steady(int whole) {
  struct ts_store *s = ts_store_new();
  struct ts_table *t = ts_table_new(1);
  if (!s || !t) abort();
  for (int warm = 0; warm < 2; warm++) {
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) *costs[i] = (struct cost){ .name = costs[i]->name };
    fill(s, t, whole, n_traces / 10);
  }
  printf("  find-add %.1f, put %.1f, release %.1f ns a span; remove %.1f ns a trace\n", find_add.ns / (double)find_add.n, put.ns / (double)put.n, gone.ns / (double)gone.n,
    removed.ns / (double)removed.n);
  ts_store_free(s);
  ts_table_free(t);
}

static void hash_cost(void) {
  struct ts_table *t = ts_table_new(1);
  uint8_t id[16] = { 0 };
  double began = cpu_ns();
  for (int i = 0; i < 10000000; i++) {
    uint64_t h = ts_table_hash(t, id);
    memcpy(id, &h, 8); /* the next one waits for it */
  }
  printf("hash of a trace id: %.1f ns\n", (cpu_ns() - began) / 1e7);
  ts_table_free(t);
}

int main(int argc, char **argv) {
  static const char *const modes[] = { "spread", "spread-steady", "spread-calls", "whole", "whole-steady", "whole-calls" };
  if (argc > 1) n_traces = strtoull(argv[1], NULL, 10);
  if (argc > 2) per_batch = strtoull(argv[2], NULL, 10);
  n_traces -= n_traces % per_batch;
  make_services();
  hash_cost();
  for (int i = 0; i < 6; i++) {
    if (argc > 3 && strcmp(argv[3], modes[i]) != 0) continue;
    printf("%s, %llu traces\n", modes[i], (unsigned long long)n_traces);
    fflush(stdout);
    each_call = i % 3 == 2;
    if (i % 3 == 1) run_steady(i / 3);
    else run(i / 3);
  }
  return 0;
}
