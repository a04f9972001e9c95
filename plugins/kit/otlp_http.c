#include "plugins/kit/otlp_http.h"

#include <stdio.h>

/* --- the answer ---------------------------------------------------------------------------------------------------------- */

/* What the back end says in a Status, as protobuf or JSON; other text is there already. */
static void on_refusal(void *self, void *arg, const struct weir_http_response *r, struct weir_verdict *v, char *text, size_t cap) {
  struct otlp_http *o = self;
  struct weir_rpc_status status;
  int is_json = http_export_is_json(r), is_text = is_json || http_export_is_text(r);
  if (r->body && r->body->n &&
      ((!is_text && o->otlp->status_parse(r->body->p, r->body->n, &status) == 0 && status.msg[0]) ||
        (is_json && o->otlp->status_json_parse(r->body->p, r->body->n, &status) == 0 && status.msg[0])))
    snprintf(text, cap, "HTTP %u: %.400s", r->status, status.msg);
  if (o->refusal) o->refusal(o->self, arg, r, v, text, cap);
}

static void on_success(void *self, void *arg, const struct weir_http_response *r, struct weir_verdict *v, char *text, size_t cap) {
  struct otlp_http *o = self;
  struct weir_otlp_response said;
  char buf[400];
  (void)arg;
  if (!r->body) return;
  int bad = http_export_is_json(r) ? o->otlp->response_json_parse(r->body->p, r->body->n, &said, buf, sizeof buf) : o->otlp->response_parse(r->body->p, r->body->n, &said);
  if (bad || (!said.rejected && !said.message.n)) return;
  snprintf(text, cap, "%.*s", (int)(said.message.n < 400 ? said.message.n : 400), said.message.n ? said.message.p : "");
  v->rejected = said.rejected;
  v->msg = text;
  o->host->log(o->stage, WEIR_LOG_WARN, "%s answered with a partial success, %llu items refused: %s", http_export_authority(o->client), (unsigned long long)said.rejected, text);
}

static void on_verdict(void *self, void *arg, const struct weir_verdict *v) {
  struct otlp_http *o = self;
  o->host->done(o->stage, arg, v);
}

/* --- the attempt ------------------------------------------------------------------------------------------------------------ */

/* The request's body: pieces that live as long as the batch or q->own. `one` is room for a piece. */
static int make_body(struct otlp_http *o, struct weir_batch *batch, struct http_export_request *q, struct weir_iov *one, size_t *bytes, struct weir_error *err) {
  if (!o->json) return o->otlp->encode(batch, &q->iov, &q->n_iov, bytes, err);
  int r = o->otlp->encode_json(o->stage, batch, &q->own, err);
  if (r) return r;
  *one = (struct weir_iov){ q->own->p, q->own->n };
  q->iov = one;
  q->n_iov = 1;
  *bytes = one->n;
  return 0;
}

void otlp_http_send(struct otlp_http *o, struct weir_batch *batch, const struct weir_http_header *headers, size_t n_headers) {
  struct http_export_request q = { .batch = batch, .headers = headers, .n_headers = n_headers, .arg = batch };
  struct weir_iov one;
  struct weir_error err;
  struct weir_verdict v = { .code = WEIR_REJECTED, .msg = err.msg };
  size_t bytes = 0;
  err.msg[0] = 0;
  int code = make_body(o, batch, &q, &one, &bytes, &err);
  if (code == WEIR_E_NOMEM) v.code = WEIR_RETRY;
  if (!code && o->max_message_bytes && bytes > o->max_message_bytes && o->host->batch_items(batch) > 1) {
    http_export_free(o->client, q.own);
    weir_fail(&err, WEIR_E_LIMIT, "over max_message_bytes");
    v.too_large = 1;
    o->host->done(o->stage, batch, &v);
    return;
  }
  if (!code) code = http_export_send(o->client, &q, &v, &err);
  if (code) o->host->done(o->stage, batch, &v);
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

const char *otlp_http_path(uint32_t signal) { return signal == WEIR_TRACES ? "/v1/traces" : signal == WEIR_METRICS ? "/v1/metrics" : "/v1/logs"; }

int otlp_http_open(struct otlp_http *o, struct http_export_setup *setup, struct weir_error *err) {
  o->host = setup->host;
  o->stage = setup->stage;
  o->otlp = o->host->service(o->stage, WEIR_OTLP_SERVICE);
  if (!o->otlp) return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks the service %s", WEIR_OTLP_SERVICE);
  setup->content_type = o->json ? "application/json" : "application/x-protobuf";
  setup->self = o;
  setup->on_verdict = on_verdict;
  setup->success = on_success;
  setup->refusal = on_refusal;
  return http_export_open(setup, &o->client, err);
}

void otlp_http_close(struct otlp_http *o) {
  http_export_close(o->client);
  o->client = NULL;
}
