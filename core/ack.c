#include "core/ack.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/assert.h"

/* A settlement on its way to another lane. */
struct settlement {
  struct ack *ack;
  struct weir_verdict verdict;
  char msg[256];
};

static void deliver(void *arg) {
  struct ack *a = arg;
  CHECK_MAGIC(a, ACK_MAGIC);
  a->fn(a->arg, &a->verdict);
  a->magic = 0;
  free(a);
}

struct ack *ack_new(struct loop *home, weir_ack_f *fn, void *arg) {
  struct ack *a = calloc(1, sizeof *a);
  WEIR_ASSERT(a != NULL);
  a->magic = ACK_MAGIC;
  atomic_init(&a->pending, 1);
  a->home = home;
  a->fn = fn;
  a->arg = arg;
  a->step.fn = deliver;
  a->step.arg = a;
  return a;
}

void ack_share(struct ack *a) {
  CHECK_MAGIC(a, ACK_MAGIC);
  atomic_fetch_add_explicit(&a->pending, 1, memory_order_relaxed);
}

static void keep_message(struct ack *a, const char *msg) {
  if (!msg || !*msg) return;
  snprintf(a->msg_buf, sizeof a->msg_buf, "%s", msg);
  a->verdict.msg = a->msg_buf;
}

/* Any retry wins (the longest delay), then any refusal (items added up), then delivered. */
static void combine(struct ack *a, const struct weir_verdict *v) {
  static const int rank[] = { [WEIR_DELIVERED] = 0, [WEIR_RETRY] = 2, [WEIR_REJECTED] = 1 };
  struct weir_verdict *w = &a->verdict;
  if (v->retry_after_ns > w->retry_after_ns) w->retry_after_ns = v->retry_after_ns;
  w->rejected += v->rejected;
  if (rank[v->code] > rank[w->code]) {
    w->code = v->code;
    w->too_large = v->too_large;
    w->status = v->status;
    keep_message(a, v->msg);
  } else if (!w->msg) {
    keep_message(a, v->msg);
  }
}

static void settle_at_home(struct ack *a, const struct weir_verdict *v) {
  CHECK_MAGIC(a, ACK_MAGIC);
  combine(a, v);
  uint32_t before = atomic_fetch_sub_explicit(&a->pending, 1, memory_order_acq_rel);
  WEIR_ASSERT(before >= 1); /* else somebody settled twice */
  if (before == 1) loop_defer(a->home, &a->step);
}

static void settle_posted(void *arg) {
  struct settlement *s = arg;
  settle_at_home(s->ack, &s->verdict);
  free(s);
}

void ack_settle(struct ack *a, const struct weir_verdict *v) {
  WEIR_ASSERT(v->code >= WEIR_DELIVERED && v->code <= WEIR_REJECTED);
  if (loop_current() == a->home || !atomic_load_explicit(&a->home->running, memory_order_relaxed)) {
    settle_at_home(a, v);
    return;
  }
  struct settlement *s = malloc(sizeof *s);
  WEIR_ASSERT(s != NULL);
  s->ack = a;
  s->verdict = *v;
  s->verdict.msg = NULL;
  if (v->msg) {
    snprintf(s->msg, sizeof s->msg, "%s", v->msg);
    s->verdict.msg = s->msg;
  }
  loop_post(a->home, settle_posted, s);
}
