#include "pipelines/sender_internal.h"

#include <stdlib.h>
#include <string.h>

#include <weir/grpc.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/parse.h"

/* One request from its first try to its end: time-out, backoff, the server's own delay, splitting what is too large. */

static void try_once(struct attempt *a);

static double random01(struct sender_lane *l) {
  l->random ^= l->random << 13;
  l->random ^= l->random >> 7;
  l->random ^= l->random << 17;
  return (double)(l->random >> 11) / 9007199254740992.0; /* 2^53 */
}

/* The Collector's: the interval, spread evenly by randomization_factor to both sides; then it grows up to max_interval. What the server asks for
 * is the least that is waited. */
int64_t retry_delay_ns(const struct sender_config *c, int64_t *interval_ns, int64_t server_ns, double r) {
  double now = (double)*interval_ns, spread = c->retry.randomization_factor * now;
  double delay = now - spread + r * (2 * spread);
  double max = (double)c->retry.max_interval_ns, next = now * c->retry.multiplier;
  *interval_ns = next >= max ? c->retry.max_interval_ns : (int64_t)next;
  int64_t ns = (int64_t)delay;
  return ns > server_ns ? ns : server_ns;
}

/* --- one consumer's place --------------------------------------------------------------------------------- */

static struct attempt *attempt_new(struct sender_lane *l) {
  struct attempt *a = l->spare;
  if (a) {
    l->spare = a->next;
    l->n_spare--;
    memset(a, 0, sizeof *a);
  } else {
    a = calloc(1, sizeof *a);
    WEIR_ASSERT(a != NULL);
  }
  a->lane = l;
  a->timer.arg = a;
  a->next = l->active;
  a->prev_next = &l->active;
  if (a->next) a->next->prev_next = &a->next;
  l->active = a;
  l->n_active++;
  metric_add_own(l->cells.in_flight_requests, 1);
  return a;
}

static void attempt_end(struct attempt *a) {
  struct sender_lane *l = a->lane;
  timer_cancel(l->loop, &a->timer);
  *a->prev_next = a->next;
  if (a->next) a->next->prev_next = a->prev_next;
  l->n_active--;
  metric_add_own(l->cells.in_flight_requests, -1);
  queue_leave(l, a->charge);
  if (l->n_spare < 16) {
    a->next = l->spare;
    l->spare = a;
    l->n_spare++;
  } else {
    free(a);
  }
  sender_wake(l);
}

static void start_batch(struct attempt *a, struct weir_batch *b) {
  const struct sender_config *c = a->lane->sender->config;
  a->batch = b;
  a->tries = 0;
  a->interval_ns = c->retry.initial_interval_ns;
  try_once(a);
}

/* The batch is settled: the next piece of a split request, or the end. */
static void next_piece(struct attempt *a) {
  struct weir_batch *b = a->pieces;
  a->batch = NULL;
  if (!b) {
    attempt_end(a);
    return;
  }
  if (a->lane->abandoned) {
    attempt_abandon(a);
    return;
  }
  a->pieces = b->next;
  b->next = NULL;
  start_batch(a, b);
}

void attempt_begin(struct sender_lane *l, struct weir_batch *b) {
  struct attempt *a = attempt_new(l);
  const struct sender_config *c = l->sender->config;
  a->charge = b->stored ? 0 : b->charge; /* a record keeps its room until it is done with */
  a->give_up_ns = c->retry.max_elapsed_time_ns > 0 ? clock_mono_ns() + c->retry.max_elapsed_time_ns : 0;
  metric_add_own(l->cells.in_flight, (int64_t)b->items);
  start_batch(a, b);
}

/* --- a try -------------------------------------------------------------------------------------------------- */

static void watch(void *arg) {
  struct attempt *a = arg;
  char late[32], timeout[32];
  log_warn(a->lane->sender->id, "no answer from the exporter %s after its timeout of %s: it does not keep the deadline it is given",
    parse_format_duration(SENDER_WATCH_NS, late, sizeof late),
    parse_format_duration(a->lane->sender->config->timeout_ns, timeout, sizeof timeout));
}

static void try_once(struct attempt *a) {
  struct sender_lane *l = a->lane;
  int64_t timeout_ns = l->sender->config->timeout_ns;
  a->state = ATTEMPT_SENDING;
  a->tries++;
  a->batch->holder = a;
  a->batch->attempts = a->tries;
  a->batch->deadline_ns = timeout_ns > 0 ? clock_mono_ns() + timeout_ns : 0;
  if (timeout_ns > 0) {
    a->timer.fn = watch;
    timer_set(l->loop, &a->timer, timeout_ns + SENDER_WATCH_NS);
  }
  stage_consume(l->exporter, a->batch);
}

static void try_again(void *arg) { try_once(arg); }

/* --- what came of it ------------------------------------------------------------------------------------------ */

static const char *text_of(const struct weir_verdict *v) { return v->msg ? v->msg : "no reason given"; }

static void give_up(struct attempt *a, int reason, const struct weir_verdict *v) {
  metric_add_own(a->lane->cells.in_flight, -(int64_t)a->batch->items);
  sender_give_up(a->lane, a->batch, reason, v, a->told);
  next_piece(a);
}

static void delivered(struct attempt *a) {
  struct sender_lane *l = a->lane;
  const struct weir_verdict *v = &a->verdict;
  uint64_t refused = v->rejected < a->batch->items ? v->rejected : a->batch->items;
  if (v->rejected || v->msg)
    log_warn(l->sender->id, "partial success: %llu of %llu %s refused: %s", (unsigned long long)refused,
      (unsigned long long)a->batch->items, l->sender->items_name, text_of(v));
  metric_add_own(l->cells.in_flight, -(int64_t)a->batch->items);
  metric_add_own(l->cells.sent, (int64_t)(a->batch->items - refused));
  metric_add_own(l->cells.items_sent, (int64_t)(a->batch->items - refused));
  if (refused) {
    metric_add_own(l->cells.send_failed, (int64_t)refused);
    metric_add_own(l->cells.rejected[REASON_PARTIAL], (int64_t)refused);
  }
  batch_settle(a->batch, v);
  next_piece(a);
}

static void refused(struct attempt *a, int reason) {
  log_error(a->lane->sender->id, "refused for good, dropping %llu %s: %s", (unsigned long long)a->batch->items, a->lane->sender->items_name,
    text_of(&a->verdict));
  give_up(a, reason, &a->verdict);
}

static void no_more_tries(struct attempt *a, const char *why) {
  log_error(a->lane->sender->id, "exporting failed, giving up %llu %s after %u %s (%s): %s", (unsigned long long)a->batch->items,
    a->lane->sender->items_name, a->tries, a->tries == 1 ? "try" : "tries", why, text_of(&a->verdict));
  give_up(a, REASON_RETRIES, &a->verdict);
}

static void wait_and_retry(struct attempt *a) {
  struct sender_lane *l = a->lane;
  const struct sender_config *c = l->sender->config;
  if (disk_keeps(l, a->batch)) { /* no time for it now: the rest is not tried, either */
    disk_stop(l);
    attempt_abandon(a);
    return;
  }
  if (!c->retry.enabled) {
    no_more_tries(a, "retry_on_failure is off");
    return;
  }
  int64_t delay = retry_delay_ns(c, &a->interval_ns, a->verdict.retry_after_ns, random01(l));
  if (l->draining && delay > SENDER_DRAIN_WAIT_NS && a->verdict.retry_after_ns < SENDER_DRAIN_WAIT_NS) delay = SENDER_DRAIN_WAIT_NS;
  if (a->give_up_ns && clock_mono_ns() + delay > a->give_up_ns) {
    no_more_tries(a, "max_elapsed_time has passed");
    return;
  }
  char text[32];
  log_info(l->sender->id, "exporting failed, next try in %s: %s", parse_format_duration(delay / NS_PER_MS * NS_PER_MS, text, sizeof text),
    text_of(&a->verdict));
  a->state = ATTEMPT_WAITING;
  a->timer.fn = try_again;
  timer_set(l->loop, &a->timer, delay);
}

/* Both halves go out one after the other, in the place of the whole. */
static void send_halves(struct attempt *a, struct weir_batch *head) {
  struct weir_batch *whole = a->batch;
  whole->holder = NULL;
  whole->next = a->pieces;
  a->pieces = whole;
  start_batch(a, head);
}

static void too_large(struct attempt *a) {
  struct weir_batch *whole = a->batch;
  uint64_t cut = a->verdict.cut ? a->verdict.cut : whole->items / 2;
  struct weir_batch *head = whole->items > 1 ? batch_split(whole, cut) : NULL;
  if (!head) {
    refused(a, REASON_TOO_LARGE);
    return;
  }
  if (!a->verdict.cut) log_info(a->lane->sender->id, "request refused as too large: sending it again in two halves (%s)", text_of(&a->verdict));
  send_halves(a, head);
}

/* The refusal is of who sends or of where, so each half would hear it too. */
static int concerns_all(const struct weir_verdict *v) {
  return v->status == WEIR_GRPC_UNAUTHENTICATED || v->status == WEIR_GRPC_PERMISSION_DENIED || v->status == WEIR_GRPC_UNIMPLEMENTED;
}

/* Of requests that were merged, only those with the culprit are to hear the refusal: found by halving, as nothing of a refused request was taken. */
static void refused_for_good(struct attempt *a) {
  int taken = a->verdict.rejected && a->verdict.rejected < a->batch->items;
  struct weir_batch *head = taken || concerns_all(&a->verdict) ? NULL : batch_split_parents(a->batch);
  if (!head) {
    refused(a, REASON_PERMANENT);
    return;
  }
  log_info(a->lane->sender->id, "request refused: sending the requests that it was merged from again in two halves (%s)", text_of(&a->verdict));
  send_halves(a, head);
}

void attempt_handle(struct attempt *a) {
  timer_cancel(a->lane->loop, &a->timer);
  a->batch->holder = NULL;
  if (a->verdict.code == WEIR_DELIVERED)
    delivered(a);
  else if (a->verdict.code == WEIR_REJECTED && a->verdict.too_large)
    too_large(a);
  else if (a->verdict.code == WEIR_REJECTED)
    refused_for_good(a);
  else if (a->lane->abandoned)
    attempt_abandon(a);
  else
    wait_and_retry(a);
}

/* --- the end -------------------------------------------------------------------------------------------------- */

void attempt_hurry(struct attempt *a) {
  if (a->state != ATTEMPT_WAITING) return;
  if (a->verdict.retry_after_ns < SENDER_DRAIN_WAIT_NS) timer_set(a->lane->loop, &a->timer, 0);
}

void attempt_answer(struct attempt *a, const struct weir_verdict *v) {
  if (!a->batch || a->batch->n_acks == 0) return;
  a->told = 1;
  batch_answer(a->batch, v);
  for (struct weir_batch *b = a->pieces; b; b = b->next) batch_answer(b, v);
}

int attempt_is_stored(const struct attempt *a) { return a->batch ? a->batch->stored : a->pieces && a->pieces->stored; }

void attempt_abandon(struct attempt *a) {
  struct sender_lane *l = a->lane;
  struct weir_verdict v = verdict_retry(0, "weir is shutting down");
  if (a->batch) { /* the pieces stand behind it */
    a->batch->next = a->pieces;
    a->pieces = a->batch;
  }
  for (struct weir_batch *b = a->pieces, *next; b; b = next) {
    next = b->next;
    b->holder = NULL;
    metric_add_own(l->cells.in_flight, -(int64_t)b->items);
    sender_give_up(l, b, REASON_SHUTDOWN, &v, a->told);
  }
  attempt_end(a);
}
