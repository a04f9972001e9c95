/*
 * plugins/grpc_core/exchange.c - one served call: requested, read, given to its handler, answered.
 */
#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/otlp.h"
#include "plugins/grpc_core/server.h"

#define REFUSED_RETRY_AFTER_NS NS_PER_S /* as the native engine's */
#define DETAILS_MAX 1536u

/* --- ending ------------------------------------------------------------------------------------------------- */

/* Everything that gRPC holds for the call is finished or given up. [any] */
static void exchange_free(struct weir_grpc_exchange *x) {
  struct weir_grpc_server *m = x->server;
  struct shared *s = x->shared;
  if (x->message) grpc_byte_buffer_destroy(x->message);
  if (x->call) grpc_call_unref(x->call); /* cancels what is not answered */
  if (x->has_line) {
    grpc_slice_unref(x->line.key);
    grpc_slice_unref(x->line.value);
  }
  grpc_metadata_array_destroy(&x->metadata);
  grpc_call_details_destroy(&x->details);
  free(x->headers);
  x->magic = 0;
  free(x);
  if (m) {
    server_call_ended(m);
    server_unref(m);
  } else {
    shared_unref(s);
  }
}

void exchange_drop(struct weir_grpc_exchange *x) { exchange_free(x); }

void exchange_cancel(struct weir_grpc_exchange *x) {
  grpc_call_cancel_with_status(x->call, GRPC_STATUS_UNAVAILABLE, "the server was closed", NULL);
}

static struct weir_grpc_exchange *exchange_of_tag(struct tag *t) {
  struct weir_grpc_exchange *x = (struct weir_grpc_exchange *)(void *)((char *)t - offsetof(struct weir_grpc_exchange, tag));
  CHECK_MAGIC(x, EXCHANGE_MAGIC);
  return x;
}

/* --- answering ---------------------------------------------------------------------------------------------- */

static void on_replied(struct tag *t, int ok) {
  (void)ok; /* a peer that left is no error */
  exchange_free(exchange_of_tag(t));
}

static void add_details(struct weir_grpc_exchange *x, const struct weir_grpc_status *st, const char *text) {
  char details[DETAILS_MAX];
  size_t n = rpc_status_make(st->code, text, st->retry_after_ns, details, sizeof details);
  if (!n) return;
  x->line.key = grpc_slice_from_static_string("grpc-status-details-bin");
  x->line.value = slice_of(details, n); /* gRPC writes base64 itself */
  x->has_line = 1;
}

/* Headers, the message if there is one, status and the end of the stream: one operation. */
static void send_answer(struct weir_grpc_exchange *x, const struct weir_grpc_status *st, grpc_byte_buffer *message) {
  grpc_op ops[4];
  size_t n = 0;
  char cut[MESSAGE_TEXT_MAX + 1];
  size_t text_n = st->msg ? text_length(st->msg) : 0;
  memcpy(cut, text_n ? st->msg : "", text_n);
  cut[text_n] = 0;
  grpc_slice text = slice_of(cut, text_n);
  if (st->code != WEIR_GRPC_OK && st->retry_after_ns >= 0) add_details(x, st, cut);
  memset(ops, 0, sizeof ops);
  ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
  if (message) {
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n++].data.send_message.send_message = message;
  }
  ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
  ops[n].data.send_status_from_server.trailing_metadata_count = x->has_line ? 1 : 0;
  ops[n].data.send_status_from_server.trailing_metadata = &x->line;
  ops[n].data.send_status_from_server.status = (grpc_status_code)st->code;
  ops[n++].data.send_status_from_server.status_details = text_n ? &text : NULL;
  ops[n].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
  ops[n++].data.recv_close_on_server.cancelled = &x->cancelled;
  grpc_call *call = x->call;
  tag_arm(&x->tag, on_replied);
  grpc_call_error e = grpc_call_start_batch(call, ops, n, &x->tag, NULL); /* x may be gone when it returns */
  WEIR_ASSERT(e == GRPC_CALL_OK);
  if (message) grpc_byte_buffer_destroy(message);
  grpc_slice_unref(text);
}

static void refuse(struct weir_grpc_exchange *x, uint32_t code, const char *msg) {
  int64_t retry_after_ns = code == WEIR_GRPC_UNAVAILABLE ? REFUSED_RETRY_AFTER_NS : -1;
  send_answer(x, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), code, msg, retry_after_ns }, NULL);
}

/* Its handler is done with it. */
static void unlink_live(struct weir_grpc_exchange *x) {
  if (x->next) x->next->prev = x->prev;
  if (x->prev) x->prev->next = x->next;
  else x->server->live = x->next;
}

void core_reply(struct weir_grpc_exchange *x, const struct weir_grpc_status *st, const char *msg, size_t msg_n) {
  CHECK_MAGIC(x, EXCHANGE_MAGIC);
  body_free(x->body);
  x->body = NULL;
  unlink_live(x);
  if (x->server->closed)
    exchange_drop(x);
  else if (st->code == WEIR_GRPC_OK && msg_n > UINT32_MAX - GRPC_PREFIX)
    refuse(x, WEIR_GRPC_INTERNAL, "the response is over 4 GiB");
  else
    send_answer(x, st, st->code == WEIR_GRPC_OK ? message_of_slice(slice_of(msg, msg_n), 0) : NULL);
}

struct weir_body *core_body_take(struct weir_grpc_exchange *x) {
  CHECK_MAGIC(x, EXCHANGE_MAGIC);
  struct weir_body *body = x->body;
  x->body = NULL;
  return body;
}

/* --- on the lane -------------------------------------------------------------------------------------------- */

/* On the monotonic clock; 0 = none. The peer chose it: up to 40,000 years. */
static int64_t deadline_of(const struct weir_grpc_exchange *x) {
  gpr_timespec d = gpr_convert_clock_type(x->details.deadline, GPR_CLOCK_MONOTONIC);
  if (gpr_time_cmp(d, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0) return 0;
  return d.tv_sec >= INT64_MAX / NS_PER_S ? INT64_MAX : d.tv_sec * NS_PER_S + d.tv_nsec;
}

static void fill_request(struct weir_grpc_exchange *x) {
  char *peer = grpc_call_get_peer(x->call);
  peer_text(peer, x->peer, sizeof x->peer);
  gpr_free(peer);
  x->headers = malloc((x->metadata.count + 1) * sizeof *x->headers);
  WEIR_ASSERT(x->headers != NULL);
  for (size_t i = 0; i < x->metadata.count; i++)
    x->headers[i] = (struct weir_http_header){ slice_str(&x->metadata.metadata[i].key), slice_str(&x->metadata.metadata[i].value) };
  x->request = (struct weir_grpc_request){ .size = sizeof x->request,
    .path = slice_str(&x->details.method),
    .peer = weir_str_of(x->peer),
    .authority = slice_str(&x->details.host),
    .metadata = x->headers,
    .n_metadata = x->metadata.count,
    .deadline_ns = deadline_of(x) };
}

/* The receiver's own judgement (authentication), before the message is copied and inflated. */
static int is_refused(struct weir_grpc_exchange *x) {
  struct weir_grpc_status status = { sizeof status, WEIR_GRPC_OK, NULL, -1 };
  if (!x->server->on_metadata || !x->server->on_metadata(x->server->self, &x->request, &status)) return 0;
  send_answer(x, &status, NULL);
  return 1;
}

/* The message in one body of the lane, inflated; or the refusal. */
static uint32_t take_message(struct weir_grpc_exchange *x, struct grpc_message *m, struct weir_error *err) {
  struct weir_grpc_server *server = x->server;
  struct pool *pool = server->port->loop->pool;
  struct weir_str encoding;
  grpc_byte_buffer *buffer = x->message;
  x->message = NULL;
  if (!buffer) {
    weir_fail(err, WEIR_E_INVALID, "no message: the body is empty");
    return WEIR_GRPC_INTERNAL;
  }
  size_t n = grpc_byte_buffer_length(buffer);
  if (n > server->limit.max_bytes) {
    grpc_byte_buffer_destroy(buffer);
    return grpc_message_over(n, &server->limit, err);
  }
  x->body = body_of_message(pool, buffer, 0, &encoding);
  if (!x->body) {
    weir_fail(err, WEIR_E_NOMEM, "out of memory budget; try again later");
    return WEIR_GRPC_UNAVAILABLE;
  }
  uint32_t code = grpc_message_read(pool, encoding, x->body->p, x->body->n, &server->limit, m, err);
  if (code == WEIR_GRPC_OK && m->inflated) {
    body_free(x->body);
    x->body = m->inflated;
  }
  return code;
}

static void exchange_arrive(struct job *j) {
  struct weir_grpc_exchange *x = (struct weir_grpc_exchange *)(void *)((char *)j - offsetof(struct weir_grpc_exchange, job));
  CHECK_MAGIC(x, EXCHANGE_MAGIC);
  struct weir_grpc_server *server = x->server;
  struct weir_error err = { 0 };
  struct grpc_message m = { 0 };
  if (server->closed) {
    exchange_drop(x);
    return;
  }
  fill_request(x);
  if (is_refused(x)) return;
  uint32_t code = take_message(x, &m, &err);
  if (code != WEIR_GRPC_OK) {
    body_free(x->body);
    x->body = NULL;
    refuse(x, code, err.msg);
    return;
  }
  x->request.body = x->body;
  x->request.msg = m.p;
  x->request.msg_n = m.n;
  x->prev = NULL;
  x->next = server->live;
  if (x->next) x->next->prev = x;
  server->live = x;
  x->method->on_request(server->self, x, &x->request);
}

/* --- on a polling thread -------------------------------------------------------------------------------------- */

static void on_message(struct tag *t, int ok) {
  struct weir_grpc_exchange *x = exchange_of_tag(t);
  (void)ok; /* a peer that left has sent no message */
  x->job.fn = exchange_arrive;
  if (!port_push(x->server->port, &x->job)) exchange_drop(x);
}

static const struct weir_grpc_method *find_method(const struct weir_grpc_server *m, struct weir_str path) {
  for (size_t i = 0; i < m->n_methods; i++)
    if (weir_str_eq(weir_str_of(m->methods[i].path), path)) return &m->methods[i];
  return NULL;
}

/* What can be refused before the message is read is refused here. */
static void judge(struct weir_grpc_exchange *x) {
  struct weir_str path = slice_str(&x->details.method);
  char msg[256];
  if (!x->server) {
    refuse(x, WEIR_GRPC_UNAVAILABLE, "the server is closing");
    return;
  }
  x->method = find_method(x->server, path);
  if (!x->method) {
    snprintf(msg, sizeof msg, "unknown method %.*s", (int)(path.n < 200 ? path.n : 200), path.p);
    refuse(x, WEIR_GRPC_UNIMPLEMENTED, msg);
    return;
  }
  grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &x->message };
  grpc_call *call = x->call;
  tag_arm(&x->tag, on_message);
  grpc_call_error e = grpc_call_start_batch(call, &op, 1, &x->tag, NULL);
  WEIR_ASSERT(e == GRPC_CALL_OK);
}

static void on_call(struct tag *t, int ok) {
  struct weir_grpc_exchange *x = exchange_of_tag(t);
  struct shared *s = x->shared;
  if (!ok) { /* the server is shut down */
    x->call = NULL;
    exchange_free(x);
    return;
  }
  exchange_request(s);
  x->server = shared_next(s);
  if (x->server) shared_unref(s); /* the member has one */
  judge(x);
}

void exchange_request(struct shared *s) {
  struct weir_grpc_exchange *x = calloc(1, sizeof *x);
  WEIR_ASSERT(x != NULL);
  x->engine = &grpc_core;
  x->magic = EXCHANGE_MAGIC;
  x->shared = s;
  grpc_call_details_init(&x->details);
  grpc_metadata_array_init(&x->metadata);
  shared_ref(s);
  tag_arm(&x->tag, on_call);
  grpc_call_error e = grpc_server_request_call(s->server, &x->call, &x->details, &x->metadata, s->run->cq, s->run->cq, &x->tag);
  WEIR_ASSERT(e == GRPC_CALL_OK);
}
