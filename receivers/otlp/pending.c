/* From a message to a batch, and from the batch's verdict to the answer. Source: the OTLP specification, "Failures" and "Throttling". */
#include <stdlib.h>
#include <string.h>

#include "otlp.h"

#define RETRY_AFTER_NS 1000000000LL       /* what a refused sender is told to wait when nobody knows better */
#define ANSWER_WITHIN_NS 10000000000LL    /* a request without a deadline of its own waits this long for `ack: delivered` */
#define SWEEP_EVERY_NS 250000000LL
#define SPARE_MAX 256u

int signal_index(uint32_t signal) { return signal == WEIR_TRACES ? 0 : signal == WEIR_METRICS ? 1 : 2; }

struct pending *pending_new(struct otlp *r) {
  struct pending *p = r->spare;
  if (p) {
    r->spare = p->next;
    r->n_spare--;
    memset(p, 0, sizeof *p);
  } else if (!(p = calloc(1, sizeof *p))) {
    abort();
  }
  p->r = r;
  return p;
}

static void pending_free(struct pending *p) {
  struct otlp *r = p->r;
  r->host->context_unref(p->context);
  p->context = NULL;
  if (r->n_spare >= SPARE_MAX) {
    free(p);
    return;
  }
  p->next = r->spare;
  r->spare = p;
  r->n_spare++;
}

void pending_free_all(struct otlp *r) {
  while (r->spare) {
    struct pending *next = r->spare->next;
    free(r->spare);
    r->spare = next;
  }
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void answer_ok(struct pending *p, uint64_t rejected, const char *msg) {
  char text[512];
  if (p->http) {
    otlp_http_ok(p->r, p->http, p->json, p->signal, rejected, msg);
  } else if (p->grpc) {
    struct weir_grpc_status ok = { sizeof ok, WEIR_GRPC_OK, NULL, -1 };
    p->r->grpc->reply(p->grpc, &ok, text, p->r->otlp->response_make(rejected, msg, text, sizeof text));
  }
  p->http = NULL;
  p->grpc = NULL;
}

static void answer_error(struct pending *p, uint32_t http_status, uint32_t code, const char *msg, int64_t retry_after_ns) {
  if (p->http) {
    otlp_http_answer(p->r, p->http, p->json, http_status, code, msg, retry_after_ns);
  } else if (p->grpc) {
    struct weir_grpc_status status = { sizeof status, code, msg, retry_after_ns };
    p->r->grpc->reply(p->grpc, &status, NULL, 0);
  }
  p->http = NULL;
  p->grpc = NULL;
}

static void answer_retry(struct pending *p, int64_t after_ns, const char *msg) {
  answer_error(p, 503, WEIR_GRPC_UNAVAILABLE, msg ? msg : "not taken now; try again", after_ns > 0 ? after_ns : RETRY_AFTER_NS);
}

/* In the next hop's words where it gave a status, as the Collector does: a client that sent bad data hears that it was bad. */
static void answer_refused(struct pending *p, const struct weir_verdict *v) {
  uint32_t code = v->status ? v->status : WEIR_GRPC_INTERNAL, http = 500;
  if (code == WEIR_GRPC_INVALID_ARGUMENT) http = 400;
  else if (code == WEIR_GRPC_UNAUTHENTICATED) http = 401;
  else if (code == WEIR_GRPC_PERMISSION_DENIED) http = 403;
  else if (code == WEIR_GRPC_UNIMPLEMENTED) http = 404;
  answer_error(p, http, code, v->msg ? v->msg : "refused for good further down", -1);
}

/* --- waiting ------------------------------------------------------------------------------------------------------- */

static void wait_begin(struct pending *p) {
  struct otlp *r = p->r;
  p->prev = NULL;
  p->next = r->waiting;
  if (r->waiting) r->waiting->prev = p;
  r->waiting = p;
  if (!r->sweeping) {
    r->sweeping = 1;
    r->timers->set(r->sweep, SWEEP_EVERY_NS);
  }
}

static void wait_end(struct pending *p) {
  struct otlp *r = p->r;
  if (p->prev) p->prev->next = p->next;
  else r->waiting = p->next;
  if (p->next) p->next->prev = p->prev;
}

/* Requests whose verdict did not come in time are answered; their verdict, when it comes, finds nobody. */
void otlp_sweep(void *arg) {
  struct otlp *r = arg;
  int64_t now = r->host->now_mono_ns();
  for (struct pending *p = r->waiting; p; p = p->next)
    if ((p->http || p->grpc) && p->deadline_ns <= now)
      answer_error(p, 503, WEIR_GRPC_UNAVAILABLE, "no delivery within the request's deadline; try again", RETRY_AFTER_NS);
  r->sweeping = r->waiting != NULL;
  if (r->sweeping) r->timers->set(r->sweep, SWEEP_EVERY_NS);
}

static void on_verdict(void *arg, const struct weir_verdict *v) {
  struct pending *p = arg;
  struct otlp *r = p->r;
  int s = signal_index(p->signal), t = p->transport;
  wait_end(p);
  uint64_t rejected = v->rejected < p->items ? v->rejected : p->items; /* of a merged batch it may be more than came with this request */
  switch (v->code) {
  case WEIR_DELIVERED:
    r->metrics->add(r->accepted[s][t], (int64_t)(p->items - rejected));
    r->metrics->add(r->failed[s][t], (int64_t)rejected);
    answer_ok(p, rejected, rejected ? v->msg : NULL);
    break;
  case WEIR_RETRY:
    r->metrics->add(r->refused[s][t], (int64_t)p->items);
    answer_retry(p, v->retry_after_ns, v->msg);
    break;
  default:
    r->metrics->add(r->failed[s][t], (int64_t)p->items);
    answer_refused(p, v);
    break;
  }
  pending_free(p);
}

/* --- the message ------------------------------------------------------------------------------------------------------ */

static void refuse_message(struct pending *p, int code, const struct weir_error *err) {
  if (code == WEIR_E_NOMEM) answer_retry(p, 0, "the memory limit of this process is reached; try again later");
  else answer_error(p, 400, WEIR_GRPC_INVALID_ARGUMENT, err->msg, -1);
  pending_free(p);
}

void otlp_refuse(struct otlp *r, struct pending *p, struct weir_body *body, uint32_t http_status, uint32_t code, const char *msg) {
  r->http->body_free(body);
  if (http_status) answer_error(p, http_status, code, msg, -1);
  else answer_retry(p, 0, msg);
  pending_free(p);
}

int otlp_admit(struct otlp *r, struct pending *p, struct weir_body *body, const struct weir_http_header *headers, size_t n, struct weir_str query,
  struct weir_str authority, struct weir_str peer) {
  struct kit_gate *gate = &r->gate[p->transport];
  struct weir_auth_result result;
  struct weir_error err = { 0 };
  uint32_t code = kit_gate_check(gate, headers, n, query, peer, &result);
  if (code == WEIR_AUTH_OK) {
    if (kit_gate_context(gate, headers, n, authority, peer, &result, p->transport == TRANSPORT_GRPC, &p->context, &err) == 0) return 0;
    otlp_refuse(r, p, body, err.code == WEIR_E_LIMIT ? 431 : 0, WEIR_GRPC_RESOURCE_EXHAUSTED, err.msg);
    return -1;
  }
  otlp_refuse(r, p, body, code == WEIR_AUTH_BUSY ? 0 : 401, WEIR_GRPC_UNAUTHENTICATED, result.msg);
  return -1;
}

void otlp_take(struct otlp *r, struct pending *p, uint32_t signal, struct weir_body *body, const char *msg, size_t n) {
  struct weir_error err;
  struct weir_batch *batch = NULL;
  err.msg[0] = 0;
  p->signal = signal;
  int code = p->json ? r->otlp->decode_json(r->stage, signal, body, msg, n, &batch, &err)
                     : r->otlp->decode(r->stage, signal, body, msg, n, r->cfg->validation, &batch, &err);
  if (code) {
    refuse_message(p, code, &err);
    return;
  }
  if (p->context) r->host->batch_set_context(batch, p->context);
  p->items = r->host->batch_items(batch);
  if (p->items == 0) { /* an empty request is a success, and nobody below needs to hear of it */
    struct weir_verdict ok = { .code = WEIR_DELIVERED };
    r->host->settle(r->stage, batch, &ok);
    answer_ok(p, 0, NULL);
    pending_free(p);
    return;
  }
  if (!p->deadline_ns) p->deadline_ns = r->host->now_mono_ns() + ANSWER_WITHIN_NS;
  wait_begin(p);
  r->host->on_verdict(r->stage, batch, on_verdict, p);
  r->host->emit(r->stage, 0, batch);
}
