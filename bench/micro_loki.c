/*
 * bench/micro_loki.c - what a push to Loki costs, in ns of CPU per record: the encoder (protobuf, JSON) on a tree that is there, and with its snappy block.
 * Usage: micro_loki [records per request, default 1000]: bodies of 120 bytes, 5 attributes, ids, two resources of 8 attributes. Minimum of 7 rounds.
 */
#include <time.h>

#include "bench/otlp_sample.h"
#include "core/compress.h"
#include "core/otlp.h"
#include "exporters/loki/labels.c"
#include "exporters/loki/push.c"
#include "plugins/kit/base64.c"
#include "plugins/kit/bytes.c"
#include "plugins/kit/decimal.c"
#include "plugins/kit/value_text.c"

#define ROUNDS 7
#define RUNS 200

static const char *const names[] = { "service.name", "service.namespace", "service.instance.id", "deployment.environment", "deployment.environment.name", "cloud.region",
  "cloud.availability_zone", "k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "container.name", "k8s.replicaset.name", "k8s.deployment.name",
  "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name" };
static const struct loki_labels_config rules = { .resource = { names, sizeof names / sizeof *names }, .max = 15 };
static struct pool *pool;
static struct weir_data data;
static size_t message_bytes, packed_bytes;

static double cpu_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void make(uint64_t records) {
  static struct arena arena;
  struct otlp_counts c;
  struct sample request = sample_logs_request(0, records);
  arena_init(&arena, pool, 0);
  if (otlp_decode(WEIR_LOGS, &arena, request.p, request.n, NULL, &data, &c, NULL) || c.items != records) exit(1);
}

static double run(int json, int pack) {
  struct push *p = push_new(&rules, json, 1u << 30);
  struct weir_error err = { 0 };
  double best = 1e18;
  for (int round = 0; round < ROUNDS; round++) {
    double began = cpu_ns();
    for (int i = 0; i < RUNS; i++) {
      const struct weir_iov *iov;
      struct weir_body *body = NULL;
      size_t n;
      if (push_encode(p, &data, 1, &iov, &n, &err) || (pack && compress_deflate(pool, "snappy", 0, iov, n, &body, &err))) exit(1);
      message_bytes = 0;
      for (size_t k = 0; k < n; k++) message_bytes += iov[k].n;
      if (body) packed_bytes = body->n;
      body_free(body);
    }
    double took = (cpu_ns() - began) / RUNS;
    if (took < best) best = took;
  }
  push_free(p);
  return best;
}

int main(int argc, char **argv) {
  uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) / 2 * 2 : 1000;
  pool_adopt(pool = pool_new(NULL));
  make(records);
  printf("loki-json %.1f ns\n", run(1, 0) / (double)records);
  printf("loki-proto %.1f ns\n", run(0, 0) / (double)records);
  printf("loki-proto+snappy %.1f ns\n", run(0, 1) / (double)records);
  printf("a record is %.0f bytes, %.0f packed\n", (double)message_bytes / (double)records, (double)packed_bytes / (double)records);
  return 0;
}
