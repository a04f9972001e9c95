/*
 * core/grpc_native_client.c - the native engine's client: unary calls on the HTTP/2 client of the lane.
 *
 * A call is the caller's iovecs behind a 5-byte prefix (or one compressed body made of them). Its outcome is always a gRPC status: the
 * peer's, one mapped from the HTTP status, DEADLINE_EXCEEDED, or UNAVAILABLE with what the transport says. Calls are recycled.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/compress.h"
#include "core/grpc.h"
#include "core/grpc_message.h"
#include "core/grpc_status.h"
#include "core/http_client.h"
#include "core/loop.h"

#define CLIENT_MAGIC 0x69bcc11eu
#define CALL_MAGIC 0x69bcca11u
#define MAX_RESPONSE (4u << 20)
#define OWN_HEADERS 6u /* content-type te user-agent grpc-accept-encoding grpc-encoding grpc-timeout */
#define SPARE_CALLS 64u
#define INLINE_IOVS 16u
#define LEVEL 1 /* higher ones cost more than the rest of a pipeline */
#define INLINE_HEADERS 48u
#define OVER_4_GIB "the message is over 4 GiB, the most that gRPC can carry"

struct grpc_call {
  uint32_t magic, reserved;
  struct weir_grpc_client *client;
  weir_grpc_response_f *on_response;
  void *arg;
  struct weir_body *deflated;
  struct grpc_call *next;
  struct defer refusal; /* a call that failed before it was sent */
  const char *refusal_msg;
  const struct weir_http_header *metadata; /* of this call instead of the client's; NULL = the client's. Until it is sent */
  size_t n_metadata;
  uint32_t refusal_code, refusal_pad;
  char prefix[GRPC_PREFIX];
};

struct weir_grpc_client {
  const struct grpc_engine *engine; /* first: grpc_engine_of */
  uint32_t magic, closed;
  struct loop *loop;
  struct weir_http_client *http;
  struct weir_http_header *headers; /* n_headers constant lines, then one place for grpc-timeout */
  size_t n_headers, n_own;          /* the first n_own are gRPC's, the rest is metadata */
  char *text; /* what the header lines point into, and the authority */
  const char *authority;
  const char *encoding_name, *encoding; /* in headers, and core/compress.h's; NULL = none */
  uint32_t n_spare;
  size_t n_calls; /* out */
  struct grpc_call *spare;
};

/* --- headers ---------------------------------------------------------------------------------------------- */

static struct weir_str keep(char **at, const char *p, size_t n) {
  struct weir_str s = { *at, (uint32_t)n, 0 };
  if (n) memcpy(*at, p, n);
  (*at)[n] = 0;
  *at += n + 1;
  return s;
}

static void add_header(struct weir_grpc_client *c, const char *name, struct weir_str value) {
  c->headers[c->n_headers++] = (struct weir_http_header){ weir_str_of(name), value };
}

static void build_headers(struct weir_grpc_client *c, const struct weir_grpc_client_config *config) {
  const char *agent = config->user_agent ? config->user_agent : "weir", *authority = config->authority ? config->authority : "";
  size_t text_n = strlen(agent) + strlen(authority) + 2;
  for (size_t i = 0; i < config->n_metadata; i++) text_n += (size_t)config->metadata[i].name.n + config->metadata[i].value.n + 2;
  c->headers = calloc(config->n_metadata + OWN_HEADERS, sizeof *c->headers);
  char *at = c->text = malloc(text_n);
  WEIR_ASSERT(c->headers != NULL && at != NULL);
  c->authority = keep(&at, authority, strlen(authority)).p;
  if (!config->authority) c->authority = NULL; /* the transport knows */
  add_header(c, "content-type", weir_str_of("application/grpc"));
  add_header(c, "te", weir_str_of("trailers"));
  add_header(c, "user-agent", keep(&at, agent, strlen(agent)));
  add_header(c, "grpc-accept-encoding", weir_str_of(GRPC_ENCODINGS));
  if (c->encoding_name) add_header(c, "grpc-encoding", weir_str_of(c->encoding_name));
  c->n_own = c->n_headers;
  for (size_t i = 0; i < config->n_metadata; i++) {
    struct weir_str name = keep(&at, config->metadata[i].name.p, config->metadata[i].name.n);
    c->headers[c->n_headers++] = (struct weir_http_header){ name, keep(&at, config->metadata[i].value.p, config->metadata[i].value.n) };
  }
}

/* --- calls ------------------------------------------------------------------------------------------------- */

static struct grpc_call *call_new(struct weir_grpc_client *c, weir_grpc_response_f *on_response, void *arg) {
  struct grpc_call *call = c->spare;
  if (call) {
    c->spare = call->next;
    c->n_spare--;
  } else {
    call = malloc(sizeof *call);
    WEIR_ASSERT(call != NULL);
  }
  *call = (struct grpc_call){ .magic = CALL_MAGIC, .client = c, .on_response = on_response, .arg = arg };
  c->n_calls++;
  return call;
}

static void client_free(struct weir_grpc_client *c) {
  for (struct grpc_call *call = c->spare, *next; call; call = next) {
    next = call->next;
    free(call);
  }
  free(c->headers);
  free(c->text);
  free(c);
}

/* Gives the outcome to the caller and the call back. The call is free first: the caller may make the next one from its callback. */
static void call_end(struct grpc_call *call, const struct weir_grpc_status *st, const char *msg, size_t msg_n) {
  struct weir_grpc_client *c = call->client;
  weir_grpc_response_f *on_response = call->on_response;
  void *arg = call->arg;
  body_free(call->deflated);
  call->magic = 0;
  if (c->n_spare < SPARE_CALLS) {
    call->next = c->spare;
    c->spare = call;
    c->n_spare++;
  } else {
    free(call);
  }
  on_response(arg, st, msg, msg_n); /* n_calls still counts this one: a close from inside does not free the client */
  if (--c->n_calls == 0 && c->closed) client_free(c);
}

static void end_with(struct grpc_call *call, uint32_t code, const char *msg) {
  call_end(call, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), code, msg, -1 }, NULL, 0);
}

/* --- responses --------------------------------------------------------------------------------------------- */

static struct weir_str find_status_line(const struct weir_http_response *r, const char *name) {
  struct weir_str v = weir_http_find(r->trailers, r->n_trailers, name);
  return v.p ? v : weir_http_find(r->headers, r->n_headers, name); /* Trailers-Only: the one HEADERS frame carries them */
}

static void end_without_answer(struct grpc_call *call, const struct weir_http_response *r) {
  const char *why = r->err && r->err->msg[0] ? r->err->msg : "the connection ended before the answer";
  if (r->timed_out)
    end_with(call, WEIR_GRPC_DEADLINE_EXCEEDED, why);
  else if (r->err && r->err->code == WEIR_E_LIMIT)
    end_with(call, WEIR_GRPC_RESOURCE_EXHAUSTED, why);
  else
    end_with(call, WEIR_GRPC_UNAVAILABLE, why);
}

static void end_without_status(struct grpc_call *call, const struct weir_http_response *r) {
  char msg[256];
  struct weir_str type = weir_http_find(r->headers, r->n_headers, "content-type");
  snprintf(msg, sizeof msg, "HTTP status %u without grpc-status, content-type \"%.*s\": the peer may not be a gRPC server", r->status,
    (int)(type.n < 80 ? type.n : 80), type.p ? type.p : "");
  end_with(call, grpc_code_of_http(r->status), msg);
}

static void end_with_message(struct grpc_call *call, const struct weir_http_response *r) {
  static const struct grpc_limit limit = { MAX_RESPONSE, "the response limit", 1 };
  struct weir_grpc_status ok = { sizeof ok, WEIR_GRPC_OK, NULL, -1 };
  struct weir_str encoding = weir_http_find(r->headers, r->n_headers, "grpc-encoding");
  struct weir_error err;
  struct grpc_message m;
  uint32_t code = WEIR_GRPC_INTERNAL;
  snprintf(err.msg, sizeof err.msg, "unknown grpc-encoding");
  if (grpc_encoding_known(encoding))
    code = grpc_message_read(call->client->loop->pool, encoding, r->body ? r->body->p : NULL, r->body ? r->body->n : 0, &limit, &m, &err);
  if (code == WEIR_GRPC_OK) {
    call_end(call, &ok, m.p, m.n);
    body_free(m.inflated);
    return;
  }
  char msg[sizeof err.msg + 32];
  snprintf(msg, sizeof msg, "broken response: %s", err.msg);
  end_with(call, code, msg);
}

static void end_with_status(struct grpc_call *call, const struct weir_http_response *r, uint32_t code) {
  char msg[GRPC_MSG_MAX + 1];
  struct weir_str details = find_status_line(r, "grpc-status-details-bin");
  struct weir_grpc_status st = { sizeof st, code, msg, details.p ? grpc_details_retry_after(details) : -1 };
  grpc_msg_decode(find_status_line(r, "grpc-message"), msg, sizeof msg);
  call_end(call, &st, NULL, 0);
}

static void on_http_response(void *arg, const struct weir_http_response *r) {
  struct grpc_call *call = arg;
  CHECK_MAGIC(call, CALL_MAGIC);
  if (r->status == 0 || r->err) {
    end_without_answer(call, r);
    return;
  }
  struct weir_str status = find_status_line(r, "grpc-status");
  if (!status.p) {
    end_without_status(call, r);
    return;
  }
  uint32_t code = grpc_code_parse(status);
  if (code == WEIR_GRPC_OK)
    end_with_message(call, r);
  else
    end_with_status(call, r, code);
}

/* --- sending ------------------------------------------------------------------------------------------------ */

static void on_refusal(void *arg) {
  struct grpc_call *call = arg;
  CHECK_MAGIC(call, CALL_MAGIC);
  end_with(call, call->refusal_code, call->refusal_msg);
}

static void refuse_later(struct grpc_call *call, uint32_t code, const char *msg) {
  call->refusal = (struct defer){ .fn = on_refusal, .arg = call };
  call->refusal_code = code;
  call->refusal_msg = msg;
  loop_defer(call->client->loop, &call->refusal);
}

/* gRPC's own lines, this call's metadata, one place for grpc-timeout. */
static struct weir_http_header *own_headers(const struct grpc_call *call, struct weir_http_header *small) {
  const struct weir_grpc_client *c = call->client;
  size_t n = c->n_own + call->n_metadata;
  struct weir_http_header *h = n < INLINE_HEADERS ? small : malloc((n + 1) * sizeof *h);
  WEIR_ASSERT(h != NULL);
  memcpy(h, c->headers, c->n_own * sizeof *h);
  memcpy(h + c->n_own, call->metadata, call->n_metadata * sizeof *h);
  return h;
}

static void send_call(struct grpc_call *call, const char *path, const struct weir_iov *body, size_t n, int64_t deadline_ns) {
  struct weir_grpc_client *c = call->client;
  char timeout[GRPC_TIMEOUT_CAP];
  struct weir_http_header small[INLINE_HEADERS], *headers = call->metadata ? own_headers(call, small) : c->headers;
  struct weir_http_call_config http = { .method = "POST",
    .path = path,
    .authority = c->authority,
    .headers = headers,
    .n_headers = call->metadata ? c->n_own + call->n_metadata : c->n_headers,
    .body = body,
    .n_body = n,
    .deadline_ns = deadline_ns,
    .on_response = on_http_response,
    .arg = call };
  if (deadline_ns) {
    uint32_t text_n = (uint32_t)grpc_timeout_format(deadline_ns - clock_mono_ns(), timeout);
    headers[http.n_headers++] = (struct weir_http_header){ weir_str_of("grpc-timeout"), { timeout, text_n, 0 } };
  }
  http_call(c->http, &http);
  if (headers != c->headers && headers != small) free(headers);
  call->metadata = NULL;
}

static void send_packed(struct grpc_call *call, const char *path, const struct weir_iov *msg, size_t n, int64_t deadline_ns) {
  struct weir_error err;
  if (compress_deflate(call->client->loop->pool, call->client->encoding, LEVEL, msg, n, &call->deflated, &err)) { /* passes: RESOURCE_EXHAUSTED would be for good */
    refuse_later(call, WEIR_GRPC_UNAVAILABLE, "cannot compress the message: the byte budget is used up");
    return;
  }
  if (call->deflated->n > UINT32_MAX) {
    refuse_later(call, WEIR_GRPC_RESOURCE_EXHAUSTED, OVER_4_GIB);
    return;
  }
  grpc_prefix_put(call->prefix, 1, (uint32_t)call->deflated->n);
  struct weir_iov body[2] = { { call->prefix, GRPC_PREFIX }, { call->deflated->p, call->deflated->n } };
  send_call(call, path, body, 2, deadline_ns);
}

static void send_plain(struct grpc_call *call, const char *path, const struct weir_iov *msg, size_t n, size_t bytes, int64_t deadline_ns) {
  struct weir_iov small[INLINE_IOVS], *body = n < INLINE_IOVS ? small : malloc((n + 1) * sizeof *body);
  WEIR_ASSERT(body != NULL);
  grpc_prefix_put(call->prefix, 0, (uint32_t)bytes);
  body[0] = (struct weir_iov){ call->prefix, GRPC_PREFIX };
  if (n) memcpy(body + 1, msg, n * sizeof *msg);
  send_call(call, path, body, n + 1, deadline_ns);
  if (body != small) free(body);
}

void native_call(struct weir_grpc_client *c, const char *path, const struct weir_iov *msg, size_t n, int64_t deadline_ns,
  weir_grpc_response_f *on_response, void *arg) {
  native_call_with(c, path, NULL, 0, msg, n, deadline_ns, on_response, arg);
}

void native_call_with(struct weir_grpc_client *c, const char *path, const struct weir_http_header *metadata, size_t n_metadata,
  const struct weir_iov *msg, size_t n, int64_t deadline_ns, weir_grpc_response_f *on_response, void *arg) {
  CHECK_MAGIC(c, CLIENT_MAGIC);
  WEIR_ASSERT(!c->closed);
  struct grpc_call *call = call_new(c, on_response, arg);
  call->metadata = metadata;
  call->n_metadata = n_metadata;
  uint64_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += msg[i].n;
  if (bytes > UINT32_MAX)
    refuse_later(call, WEIR_GRPC_RESOURCE_EXHAUSTED, OVER_4_GIB);
  else if (c->encoding)
    send_packed(call, path, msg, n, deadline_ns);
  else
    send_plain(call, path, msg, n, (size_t)bytes, deadline_ns);
}

int native_client_open(
  struct loop *loop, const struct weir_grpc_client_config *config, struct weir_grpc_client **ret, struct weir_error *err) {
  struct weir_grpc_client_config g = { 0 };
  memcpy(&g, config, config->size < sizeof g ? config->size : sizeof g);
  const char *name, *encoding;
  if (grpc_encoding_out(g.compression, &name, &encoding))
    return weir_fail_field(err, "compression", "\"%s\" is not supported: use gzip, zstd, snappy or none", g.compression);
  if (encoding && compress_check(encoding, err)) {
    snprintf(err->field, sizeof err->field, "compression");
    return err->code;
  }
  struct weir_grpc_client *c = calloc(1, sizeof *c);
  WEIR_ASSERT(c != NULL);
  c->engine = &grpc_native;
  c->magic = CLIENT_MAGIC;
  c->loop = loop;
  c->encoding_name = name;
  c->encoding = encoding;
  build_headers(c, &g);
  struct weir_http_client_config http = { .size = sizeof http,
    .flags = WEIR_HTTP_H2_ONLY | (g.flags & (WEIR_HTTP_ROUND_ROBIN | WEIR_HTTP_PING_IDLE)),
    .endpoint = g.endpoint,
    .max_response_bytes = MAX_RESPONSE + GRPC_PREFIX,
    .max_connections = g.max_connections,
    .tls = g.tls,
    .ping_after_ns = g.ping_after_ns,
    .ping_timeout_ns = g.ping_timeout_ns };
  int r = http_client_open(loop, &http, &c->http, err);
  if (r) {
    client_free(c);
    return r;
  }
  *ret = c;
  return 0;
}

void native_client_close(struct weir_grpc_client *c) {
  if (!c) return;
  CHECK_MAGIC(c, CLIENT_MAGIC);
  c->closed = 1;
  c->n_calls++; /* keeps it while the transport ends the running calls */
  http_client_close(c->http);
  if (--c->n_calls == 0) client_free(c);
}
