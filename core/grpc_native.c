/*
 * core/grpc_native.c - the native engine's server: unary gRPC on the HTTP/2 server of the lane.
 *
 * A request is judged twice: by its headers, before its body is held (method, content type, path, encoding, declared size), and
 * whole (framing, time-out). Refusals are Trailers-Only answers: one HEADERS frame with the status. Exchanges are recycled.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/grpc.h"
#include "core/grpc_message.h"
#include "core/grpc_status.h"
#include "core/http_server.h"
#include "core/loop.h"

#define SERVER_MAGIC 0x69bc5e2fu
#define EXCHANGE_MAGIC 0x69bce8c4u
#define DEFAULT_MAX_MESSAGE (4u << 20)
#define REFUSED_RETRY_AFTER_NS NS_PER_S /* a full byte budget empties at the pace of the back end: ask again soon */
#define SPARE_EXCHANGES 64u             /* idle exchanges kept per server */
#define INLINE_REPLY 192u               /* larger answers are allocated; an OTLP answer has 0 to ~100 bytes */
#define STATUS_HEADERS 4u

/* A status as header lines, and the memory they point into. */
struct status_lines {
  struct weir_http_header h[STATUS_HEADERS];
  size_t n;
  char message[3 * GRPC_MSG_MAX];
  char details[GRPC_DETAILS_MAX / 3 * 4 + 4];
};

struct weir_grpc_server {
  const struct grpc_engine *engine; /* first: grpc_engine_of */
  uint32_t magic, closed;
  struct loop *loop;
  struct weir_http_server *http;
  struct weir_grpc_method *methods; /* paths owned */
  size_t n_methods;
  void *self;
  weir_grpc_metadata_f *on_metadata; /* NULL: nobody asks */
  struct grpc_limit limit;
  size_t n_live, n_spare; /* exchanges out, and waiting for reuse */
  struct weir_grpc_exchange *spare;
  struct status_lines early; /* answers given before an exchange exists; one at a time, copied by the transport */
};

struct weir_grpc_exchange {
  const struct grpc_engine *engine; /* first: grpc_engine_of */
  uint32_t magic, reserved;
  struct weir_grpc_server *server;
  struct weir_http_exchange *http;
  struct weir_body *inflated; /* owned until body_take */
  struct weir_grpc_exchange *next;
  struct weir_grpc_request request;
  char *large; /* an answer over INLINE_REPLY */
  char out[GRPC_PREFIX + INLINE_REPLY];
};

#define STR(literal)                                                                                                                       \
  { literal, sizeof(literal) - 1, 0 }
static const struct weir_http_header reply_headers[] = { { STR("content-type"), STR("application/grpc") } };
static const struct weir_http_header reply_trailers[] = { { STR("grpc-status"), STR("0") } };
static const struct weir_http_header accept_encoding = { STR("grpc-accept-encoding"), STR(GRPC_ENCODINGS) };
static const struct weir_http_header text_headers[] = { { STR("content-type"), STR("text/plain; charset=utf-8") },
  { STR("allow"), STR("POST") } };

/* --- status answers ----------------------------------------------------------------------------------- */

static void add_line(struct status_lines *l, const char *name, const char *value, size_t n) {
  l->h[l->n++] = (struct weir_http_header){ weir_str_of(name), { value, (uint32_t)n, 0 } };
}

/* Trailers-Only: the response headers carry the status. */
static void status_lines_fill(struct status_lines *l, uint32_t code, const char *msg, int64_t retry_after_ns) {
  struct weir_str text = grpc_code_text(code);
  l->n = 0;
  l->h[l->n++] = reply_headers[0];
  add_line(l, "grpc-status", text.p, text.n);
  if (msg && *msg) add_line(l, "grpc-message", l->message, grpc_msg_encode(msg, l->message, sizeof l->message));
  if (retry_after_ns < 0) return;
  size_t n = grpc_details_make(code, msg, retry_after_ns, l->details, sizeof l->details);
  if (n) add_line(l, "grpc-status-details-bin", l->details, n);
}

static uint32_t early_status(
  struct weir_grpc_server *s, struct weir_http_reply *reply, uint32_t code, const char *msg, int64_t retry_after_ns) {
  status_lines_fill(&s->early, code, msg, retry_after_ns);
  *reply = (struct weir_http_reply){ .status = 200, .headers = s->early.h, .n_headers = s->early.n };
  return 200;
}

static uint32_t early_text(struct weir_http_reply *reply, uint32_t status, const struct weir_iov *text) {
  *reply =
    (struct weir_http_reply){ .status = status, .headers = text_headers, .n_headers = status == 405 ? 2 : 1, .body = text, .n_body = 1 };
  return status;
}

/* --- judging the headers -------------------------------------------------------------------------------- */

static int is_grpc_type(struct weir_str type) {
  static const char want[] = "application/grpc";
  size_t n = sizeof want - 1;
  if (type.n < n || memcmp(type.p, want, n) != 0) return 0;
  return type.n == n || type.p[n] == '+' || type.p[n] == ';'; /* application/grpc-web is another protocol */
}

static const struct weir_grpc_method *find_method(const struct weir_grpc_server *s, struct weir_str path) {
  for (size_t i = 0; i < s->n_methods; i++)
    if (strlen(s->methods[i].path) == path.n && memcmp(s->methods[i].path, path.p, path.n) == 0) return &s->methods[i];
  return NULL;
}

static uint64_t declared_length(const struct weir_http_request *r) {
  struct weir_str v = weir_http_find(r->headers, r->n_headers, "content-length");
  uint64_t n = 0;
  for (uint32_t i = 0; i < v.n && i < 18 && v.p[i] >= '0' && v.p[i] <= '9'; i++) n = n * 10 + (uint64_t)(v.p[i] - '0');
  return n;
}

static uint32_t unknown_method(struct weir_grpc_server *s, const struct weir_http_request *r, struct weir_http_reply *reply) {
  char msg[256];
  snprintf(msg, sizeof msg, "unknown method %.*s", (int)(r->path.n < 200 ? r->path.n : 200), r->path.p);
  return early_status(s, reply, WEIR_GRPC_UNIMPLEMENTED, msg, -1);
}

static uint32_t unknown_encoding(struct weir_grpc_server *s, struct weir_str encoding, struct weir_http_reply *reply) {
  char msg[256];
  snprintf(msg, sizeof msg, "grpc-encoding \"%.*s\" is not supported: use one of %s", (int)(encoding.n < 64 ? encoding.n : 64), encoding.p,
    GRPC_ENCODINGS);
  early_status(s, reply, WEIR_GRPC_UNIMPLEMENTED, msg, -1);
  s->early.h[s->early.n++] = accept_encoding;
  reply->n_headers = s->early.n;
  return reply->status;
}

static uint32_t too_large(struct weir_grpc_server *s, uint64_t n, struct weir_http_reply *reply) {
  struct weir_error err = { 0 };
  uint32_t code = grpc_message_over(n, &s->limit, &err);
  return early_status(s, reply, code, err.msg, -1);
}

/* The receiver's own judgement (authentication). 0 = go on. */
static uint32_t ask_on_metadata(struct weir_grpc_server *s, const struct weir_http_request *r, struct weir_http_reply *reply) {
  if (!s->on_metadata) return 0;
  struct weir_grpc_request request = { .size = sizeof request,
    .path = r->path,
    .peer = r->peer,
    .metadata = r->headers,
    .n_metadata = r->n_headers,
    .authority = r->authority };
  struct weir_grpc_status status = { sizeof status, WEIR_GRPC_OK, NULL, -1 };
  if (!s->on_metadata(s->self, &request, &status)) return 0;
  return early_status(s, reply, status.code, status.msg, status.retry_after_ns);
}

static uint32_t on_headers(void *self, const struct weir_http_request *r, struct weir_http_reply *reply) {
  struct weir_grpc_server *s = self;
  static const struct weir_iov not_post = { "gRPC requests are POST\n", 23 };
  static const struct weir_iov not_grpc = { "this port speaks gRPC: content-type must be application/grpc\n", 61 };
  CHECK_MAGIC(s, SERVER_MAGIC);
  if (!weir_str_eq(r->method, weir_str_of("POST"))) return early_text(reply, 405, &not_post);
  if (!is_grpc_type(weir_http_find(r->headers, r->n_headers, "content-type"))) return early_text(reply, 415, &not_grpc);
  if (!find_method(s, r->path)) return unknown_method(s, r, reply);
  struct weir_str encoding = weir_http_find(r->headers, r->n_headers, "grpc-encoding");
  if (!grpc_encoding_known(encoding)) return unknown_encoding(s, encoding, reply);
  uint64_t declared = declared_length(r);
  if (declared > s->limit.max_bytes + GRPC_PREFIX) return too_large(s, declared - GRPC_PREFIX, reply);
  return ask_on_metadata(s, r, reply);
}

/* The transport refuses headers or a body: its 431, 413 and 503 in gRPC's words. A call that is not gRPC was refused by its headers. */
static void on_refuse(void *self, uint32_t status, const struct weir_http_request *r, struct weir_http_reply *reply) {
  struct weir_grpc_server *s = self;
  CHECK_MAGIC(s, SERVER_MAGIC);
  if (status == 431 && is_grpc_type(weir_http_find(r->headers, r->n_headers, "content-type")))
    early_status(s, reply, WEIR_GRPC_RESOURCE_EXHAUSTED, "the request metadata is over the limits of this server (max_header_bytes, max_headers)", -1);
  if (status == 413) too_large(s, declared_length(r) > GRPC_PREFIX ? declared_length(r) - GRPC_PREFIX : 0, reply);
  if (status == 503) early_status(s, reply, WEIR_GRPC_UNAVAILABLE, "out of memory budget; try again later", REFUSED_RETRY_AFTER_NS);
}

/* --- exchanges ------------------------------------------------------------------------------------------- */

static void server_free(struct weir_grpc_server *s) {
  for (struct weir_grpc_exchange *x = s->spare, *next; x; x = next) {
    next = x->next;
    free(x);
  }
  for (size_t i = 0; i < s->n_methods; i++) free((char *)(uintptr_t)s->methods[i].path);
  free(s->methods);
  free(s);
}

static struct weir_grpc_exchange *exchange_new(struct weir_grpc_server *s, struct weir_http_exchange *http) {
  struct weir_grpc_exchange *x = s->spare;
  if (x) {
    s->spare = x->next;
    s->n_spare--;
  } else {
    x = malloc(sizeof *x);
    WEIR_ASSERT(x != NULL);
  }
  x->engine = &grpc_native;
  x->magic = EXCHANGE_MAGIC;
  x->server = s;
  x->http = http;
  x->inflated = NULL;
  x->large = NULL;
  s->n_live++;
  return x;
}

/* The transport's release of an answer: nothing points into the exchange any more. */
static void exchange_done(void *arg) {
  struct weir_grpc_exchange *x = arg;
  CHECK_MAGIC(x, EXCHANGE_MAGIC);
  struct weir_grpc_server *s = x->server;
  free(x->large);
  x->magic = 0;
  s->n_live--;
  if (s->n_spare < SPARE_EXCHANGES && !s->closed) {
    x->next = s->spare;
    s->spare = x;
    s->n_spare++;
    return;
  }
  free(x);
  if (s->closed && s->n_live == 0) server_free(s);
}

static void send_status(struct weir_grpc_exchange *x, const struct weir_grpc_status *st) {
  struct status_lines l;
  status_lines_fill(&l, st->code, st->msg, st->retry_after_ns);
  struct weir_http_reply reply = { .status = 200, .headers = l.h, .n_headers = l.n, .release = exchange_done, .release_arg = x };
  http_reply(x->http, &reply);
}

static void send_message(struct weir_grpc_exchange *x, const char *msg, size_t n) {
  char *out = x->out;
  if (n > INLINE_REPLY) {
    out = x->large = malloc(GRPC_PREFIX + n);
    WEIR_ASSERT(out != NULL);
  }
  grpc_prefix_put(out, 0, (uint32_t)n);
  if (n) memcpy(out + GRPC_PREFIX, msg, n);
  struct weir_iov body = { out, GRPC_PREFIX + n };
  struct weir_http_reply reply = { .status = 200,
    .headers = reply_headers,
    .n_headers = 1,
    .body = &body,
    .n_body = 1,
    .trailers = reply_trailers,
    .n_trailers = 1,
    .release = exchange_done,
    .release_arg = x };
  http_reply(x->http, &reply);
}

static void native_reply(struct weir_grpc_exchange *x, const struct weir_grpc_status *st, const char *msg, size_t msg_n) {
  CHECK_MAGIC(x, EXCHANGE_MAGIC);
  body_free(x->inflated);
  x->inflated = NULL;
  if (st->code != WEIR_GRPC_OK)
    send_status(x, st);
  else if (msg_n > UINT32_MAX - GRPC_PREFIX)
    send_status(x, &(struct weir_grpc_status){ sizeof *st, WEIR_GRPC_INTERNAL, "the response is over 4 GiB", -1 });
  else
    send_message(x, msg, msg_n);
}

static struct weir_body *native_body_take(struct weir_grpc_exchange *x) {
  CHECK_MAGIC(x, EXCHANGE_MAGIC);
  if (!x->inflated) return http_body_take(x->http);
  struct weir_body *body = x->inflated;
  x->inflated = NULL;
  return body;
}

static void refuse(struct weir_grpc_exchange *x, uint32_t code, const char *msg) {
  int64_t retry_after_ns = code == WEIR_GRPC_UNAVAILABLE ? REFUSED_RETRY_AFTER_NS : -1;
  native_reply(x, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), code, msg, retry_after_ns }, NULL, 0);
}

/* 0 or -1 for a malformed grpc-timeout, which is INTERNAL as in grpc-go. */
static int read_deadline(const struct weir_http_request *r, int64_t *ret_ns) {
  struct weir_str v = weir_http_find(r->headers, r->n_headers, "grpc-timeout");
  int64_t timeout, now = clock_mono_ns();
  *ret_ns = 0;
  if (!v.p) return 0;
  if (grpc_timeout_parse(v, &timeout)) return -1;
  *ret_ns = timeout > INT64_MAX - now ? INT64_MAX : now + timeout;
  return 0;
}

static void on_request(void *self, struct weir_http_exchange *http, const struct weir_http_request *r) {
  struct weir_grpc_server *s = self;
  CHECK_MAGIC(s, SERVER_MAGIC);
  struct weir_grpc_exchange *x = exchange_new(s, http);
  const struct weir_grpc_method *method = find_method(s, r->path);
  WEIR_ASSERT(method != NULL); /* on_headers let it pass */
  struct weir_error err;
  struct grpc_message m;
  int64_t deadline_ns;
  if (read_deadline(r, &deadline_ns)) {
    refuse(x, WEIR_GRPC_INTERNAL, "malformed grpc-timeout: expected 1 to 8 digits and one of H M S m u n");
    return;
  }
  struct weir_str encoding = weir_http_find(r->headers, r->n_headers, "grpc-encoding");
  uint32_t code = grpc_message_read(s->loop->pool, encoding, r->body ? r->body->p : NULL, r->body ? r->body->n : 0, &s->limit, &m, &err);
  if (code != WEIR_GRPC_OK) {
    refuse(x, code, err.msg);
    return;
  }
  x->inflated = m.inflated;
  x->request = (struct weir_grpc_request){ .size = sizeof x->request,
    .path = r->path,
    .peer = r->peer,
    .metadata = r->headers,
    .n_metadata = r->n_headers,
    .body = m.inflated ? m.inflated : r->body,
    .msg = m.p,
    .msg_n = m.n,
    .deadline_ns = deadline_ns,
    .authority = r->authority };
  method->on_request(s->self, x, &x->request);
}

/* --- life ------------------------------------------------------------------------------------------------- */

static void copy_methods(struct weir_grpc_server *s, const struct weir_grpc_server_config *c) {
  s->n_methods = c->n_methods;
  s->methods = calloc(c->n_methods + 1, sizeof *s->methods);
  WEIR_ASSERT(s->methods != NULL);
  for (size_t i = 0; i < c->n_methods; i++) {
    char *path = strdup(c->methods[i].path);
    WEIR_ASSERT(path != NULL);
    s->methods[i] = (struct weir_grpc_method){ path, c->methods[i].on_request };
  }
}

static int native_listen(
  struct loop *loop, const struct weir_grpc_server_config *config, struct weir_grpc_server **ret, struct weir_error *err) {
  struct weir_grpc_server_config c = { 0 };
  memcpy(&c, config, config->size < sizeof c ? config->size : sizeof c);
  struct weir_grpc_server *s = calloc(1, sizeof *s);
  WEIR_ASSERT(s != NULL);
  s->engine = &grpc_native;
  s->magic = SERVER_MAGIC;
  s->loop = loop;
  s->self = c.self;
  s->on_metadata = c.on_metadata;
  uint64_t max_bytes = c.max_message_bytes ? c.max_message_bytes : DEFAULT_MAX_MESSAGE;
  s->limit = (struct grpc_limit){ max_bytes < UINT32_MAX ? max_bytes : UINT32_MAX, "max_recv_msg_size_mib", 0 }; /* the prefix has 4 bytes */
  copy_methods(s, &c);
  struct weir_http_server_config http = { .size = sizeof http,
    .flags = WEIR_HTTP_H2_ONLY,
    .owner = c.owner,
    .endpoint = c.endpoint,
    .max_body_bytes = s->limit.max_bytes + GRPC_PREFIX,
    .max_concurrent_streams = c.max_concurrent_streams,
    .max_header_bytes = c.max_header_bytes,
    .max_headers = c.max_headers,
    .max_connections = c.max_connections,
    .read_header_timeout_ns = c.read_header_timeout_ns,
    .body_timeout_ns = c.body_timeout_ns,
    .write_timeout_ns = c.write_timeout_ns,
    .on_headers = on_headers,
    .on_request = on_request,
    .on_refuse = on_refuse,
    .self = s,
    .tls = c.tls,
    .idle_timeout_ns = c.idle_timeout_ns,
    .keepalive = c.keepalive };
  int r = http_listen(loop, &http, &s->http, err);
  if (r) {
    server_free(s);
    return r;
  }
  *ret = s;
  return 0;
}

static int native_port(const struct weir_grpc_server *s) { return http_server_port(s->http); }

static void native_drain(struct weir_grpc_server *s, weir_fn_f *drained, void *arg) { http_server_drain(s->http, drained, arg); }

static void native_close(struct weir_grpc_server *s) {
  if (!s) return;
  CHECK_MAGIC(s, SERVER_MAGIC);
  s->closed = 1;
  s->n_live++; /* keeps it while the transport gives answers back */
  http_server_close(s->http);
  if (--s->n_live == 0) server_free(s);
}

const struct grpc_engine grpc_native = {
  .name = "native",
  .listen = native_listen,
  .port = native_port,
  .drain = native_drain,
  .close = native_close,
  .body_take = native_body_take,
  .reply = native_reply,
  .client_open = native_client_open,
  .client_close = native_client_close,
  .call = native_call,
  .call_with = native_call_with,
};
