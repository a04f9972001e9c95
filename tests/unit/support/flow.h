/*
 * tests/unit/support/flow.h - batches, waiters and fake stages for tests of acks, edges, senders and graphs.
 */
#ifndef TESTS_UNIT_SUPPORT_FLOW_H
#define TESTS_UNIT_SUPPORT_FLOW_H

#include <stdio.h>
#include <string.h>

#include "core/assert.h"
#include "core/batch.h"
#include "core/loop.h"
#include "plugins/host.h"

/* Who waits for a verdict. */
struct flow_waiter {
  int heard;
  struct weir_verdict verdict;
  char msg[256];
};

/* A stage that keeps what it gets; the test answers for it. */
#define FLOW_MAX 64
struct flow_stage {
  struct weir_stage stage;
  struct stage_entry entry;
  struct weir_batch *got[FLOW_MAX];
  uint32_t n_got, consumed; /* consumed: also those that were taken out again */
};

static inline size_t put_varint(char *p, size_t v) {
  size_t n = 0;
  for (; v >= 0x80; v >>= 7) p[n++] = (char)(v | 0x80);
  p[n++] = (char)v;
  return n;
}

/* A batch of n empty spans (or log records; metrics are not made) as they would be received:
 * resource_spans (1) > scope_spans (2) > spans (2); resource_logs (1) > scope_logs (2) > log_records (2): the same numbers. */
static inline struct weir_batch *flow_batch(struct loop *loop, uint32_t signal, uint32_t n) {
  char head[24], inner[12];
  size_t records = 2 * (size_t)n, n_inner = 0, n_head = 0;
  inner[n_inner++] = 0x12;
  n_inner += put_varint(inner + n_inner, records);
  head[n_head++] = 0x0a;
  n_head += put_varint(head + n_head, n_inner + records);
  struct weir_body *body = body_new(loop->pool, n_head + n_inner + records);
  WEIR_ASSERT(body != NULL);
  memcpy(body->p, head, n_head);
  memcpy(body->p + n_head, inner, n_inner);
  for (size_t i = 0; i < n; i++) memcpy(body->p + n_head + n_inner + 2 * i, "\x12\x00", 2);
  body->n = n_head + n_inner + records;
  struct part *part = NULL;
  struct weir_error err = { 0 };
  int r = part_from_otlp(loop->pool, signal, body, body->p, body->n, WEIR_VALIDATE_FULL, 0, NULL, &part, &err);
  if (r) fprintf(stderr, "flow_batch: %s\n", err.msg);
  WEIR_ASSERT(r == 0 && part->items == n);
  return batch_of_part(loop, part);
}

static inline void flow_hear(void *arg, const struct weir_verdict *v) {
  struct flow_waiter *w = arg;
  w->heard++;
  w->verdict = *v;
  snprintf(w->msg, sizeof w->msg, "%s", v->msg ? v->msg : "");
}

static inline int fake_open(
  const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  (void)host;
  (void)config;
  (void)err;
  *ret_self = (char *)stage - offsetof(struct flow_stage, stage);
  return 0;
}

static inline void fake_consume(void *self, struct weir_batch *b) {
  struct flow_stage *f = self;
  WEIR_ASSERT(f->n_got < FLOW_MAX);
  f->got[f->n_got++] = b;
  f->consumed++;
}

static inline void fake_close(void *self) { (void)self; }

/* Opens and starts it. self is the flow_stage. */
static inline void flow_stage_open(
  struct flow_stage *f, struct loop *loop, uint32_t role, const char *id, const struct stage_ops *ops, void *owner) {
  struct weir_error err = { 0 };
  memset(f, 0, sizeof *f);
  f->entry.type = (struct weir_stage_type){ .size = sizeof f->entry.type,
    .role = role,
    .signals = WEIR_TRACES | WEIR_LOGS,
    .name = "fake",
    .doc = "A stage of a test.",
    .open = fake_open,
    .consume = fake_consume,
    .close = fake_close };
  f->stage = (struct weir_stage){
    .magic = STAGE_MAGIC, .entry = &f->entry, .id = id, .signal = WEIR_TRACES, .lanes = 1, .loop = loop, .ops = ops, .owner = owner
  };
  WEIR_ASSERT(stage_open(&f->stage, &err) == 0 && stage_start(&f->stage, &err) == 0);
}

/* The oldest it holds. */
static inline struct weir_batch *flow_take(struct flow_stage *f) {
  WEIR_ASSERT(f->n_got > 0);
  struct weir_batch *b = f->got[0];
  memmove(f->got, f->got + 1, --f->n_got * sizeof *f->got);
  return b;
}

#endif
