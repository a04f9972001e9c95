/*
 * plugins/grpc_core/client.c - unary calls on a channel: one operation out and back.
 *
 * A call has two halves: what gRPC holds (until its tag comes) and the callback it owes to its caller on the lane. Usually they end together; a client that is
 * closed pays its callbacks in the next step and leaves gRPC's half to the polling thread. Messages are copied into gRPC's memory at once, compressed before:
 * gRPC may hold them longer than the call lasts.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/compress.h"
#include "core/log.h"
#include "core/otlp.h"
#include "core/parse.h"
#include "plugins/grpc_core/engine.h"

#define CLIENT_MAGIC 0x69bcc0c1u
#define CALL_MAGIC 0x69bcc0cau
#define MAX_RESPONSE (4u << 20)
#define MAX_METADATA (64 << 10)
#define GZIP_LEVEL 1
#define BACKOFF_FIRST_MS 100 /* between two attempts to connect; the sender in front has its own, longer back-off for requests */
#define BACKOFF_MAX_MS 1000
#define CONNECT_TIMEOUT_MS 5000 /* as the native engine's */
#define STRINGS 4

static const struct grpc_limit response_limit = { MAX_RESPONSE, "the response limit", 1 };

/* A channel, and who needs it: its client, until changed certificate files give it another one, and the calls on it. */
struct line {
  grpc_channel *channel;
  _Atomic int refs;
};

struct weir_grpc_client {
  const struct grpc_engine *engine; /* first: grpc_engine_of */
  uint32_t magic, closed;           /* closed: [lane] */
  struct port *port;
  struct line *line;
  struct tls_use tls;
  uint32_t tls_flags, n_strings;
  char *endpoint, *strings[STRINGS]; /* what args point to */
  struct args args;
  grpc_resource_quota *quota;
  grpc_metadata *metadata;
  size_t n_metadata;
  int gzip;
  _Atomic int refs; /* until core_client_close, and one per call */
  struct call *calls;
};

struct call {
  uint32_t magic, answered; /* answered: [lane] */
  struct tag tag;
  struct job job;
  struct defer late; /* the callback of a call that was not sent, or whose client was closed */
  struct call *next, *prev;
  _Atomic int halves;
  struct weir_grpc_client *client;
  weir_grpc_response_f *on_response;
  void *arg;
  uint32_t late_code, reserved;
  const char *late_msg;
  struct line *line; /* NULL until it is sent, as call */
  grpc_call *call;
  grpc_metadata_array initial, trailing;
  grpc_byte_buffer *message;
  grpc_status_code status;
  grpc_slice details;
};

/* --- metadata ------------------------------------------------------------------------------------------------ */

/* One line; gRPC takes names in lower case. 0 when it is not legal. */
static int put_metadata(grpc_metadata *m, const struct weir_http_header *h) {
  m->key = slice_of(h->name.p, h->name.n);
  for (unsigned char *k = GRPC_SLICE_START_PTR(m->key); k < GRPC_SLICE_END_PTR(m->key); k++) *k = (unsigned char)tolower(*k);
  m->value = slice_of(h->value.p, h->value.n);
  return grpc_header_key_is_legal(m->key) && (grpc_is_binary_header(m->key) || grpc_header_nonbin_value_is_legal(m->value));
}

static void free_metadata(grpc_metadata *m, size_t n) {
  for (size_t i = 0; i < n; i++) {
    grpc_slice_unref(m[i].key);
    grpc_slice_unref(m[i].value);
  }
  free(m);
}

/* --- ending --------------------------------------------------------------------------------------------------- */

static void line_unref(struct line *l) {
  if (!l || atomic_fetch_sub(&l->refs, 1) > 1) return;
  grpc_channel_destroy(l->channel);
  free(l);
}

static void client_unref(struct weir_grpc_client *c) {
  if (atomic_fetch_sub(&c->refs, 1) > 1) return;
  free_metadata(c->metadata, c->n_metadata);
  for (size_t i = 0; i < c->n_strings; i++) free(c->strings[i]);
  free(c->endpoint);
  if (c->quota) grpc_resource_quota_unref(c->quota);
  port_unref(c->port);
  free(c);
}

/* One half is done. [any] */
static void call_release(struct call *call) {
  if (atomic_fetch_sub(&call->halves, 1) > 1) return;
  struct weir_grpc_client *c = call->client;
  if (call->message) grpc_byte_buffer_destroy(call->message);
  grpc_slice_unref(call->details);
  grpc_metadata_array_destroy(&call->initial);
  grpc_metadata_array_destroy(&call->trailing);
  if (call->call) grpc_call_unref(call->call);
  line_unref(call->line);
  call->magic = 0;
  free(call);
  client_unref(c);
}

static void unlink_call(struct call *call) {
  if (call->next) call->next->prev = call->prev;
  if (call->prev) call->prev->next = call->next;
  else call->client->calls = call->next;
}

/* The callback, once. The call is off the list before: the caller may make the next one, or close the client, from inside. */
static void answer(struct call *call, const struct weir_grpc_status *st, const char *msg, size_t n) {
  WEIR_ASSERT(!call->answered);
  call->answered = 1;
  unlink_call(call);
  call->on_response(call->arg, st, msg, n);
  call_release(call);
}

static void answer_with(struct call *call, uint32_t code, const char *msg, int64_t retry_after_ns) {
  answer(call, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), code, msg, retry_after_ns }, NULL, 0);
}

static void run_late(void *arg) {
  struct call *call = arg;
  CHECK_MAGIC(call, CALL_MAGIC);
  answer_with(call, call->late_code, call->late_msg, -1);
}

static void answer_later(struct call *call, uint32_t code, const char *msg) {
  call->late = (struct defer){ .fn = run_late, .arg = call };
  call->late_code = code;
  call->late_msg = msg;
  loop_defer(call->client->port->loop, &call->late);
}

/* --- answers -------------------------------------------------------------------------------------------------- */

/* gRPC has undone the base64 of -bin metadata. */
static int64_t retry_after(const grpc_metadata_array *lines) {
  struct weir_rpc_status status = { .retry_after_ns = -1 };
  for (size_t i = 0; i < lines->count; i++) {
    struct weir_str value = slice_str(&lines->metadata[i].value);
    if (!weir_str_eq(slice_str(&lines->metadata[i].key), weir_str_of("grpc-status-details-bin"))) continue;
    if (rpc_status_parse(value.p, value.n, &status)) return -1;
    return status.retry_after_ns;
  }
  return -1;
}

/* As in the native engine: whoever made the call hears of a broken response, and never of a message that was not whole. */
static void answer_message(struct call *call) {
  struct weir_grpc_client *c = call->client;
  struct pool *pool = c->port->loop->pool;
  struct weir_error err = { 0 };
  struct grpc_message m = { 0 };
  char msg[600];
  if (!call->message) {
    answer_with(call, WEIR_GRPC_INTERNAL, "broken response: no message: the body is empty", -1);
    return;
  }
  struct weir_str encoding;
  struct weir_body *body = body_of_message(pool, call->message, 1, &encoding); /* overdraws: an answer empties a queue */
  call->message = NULL;
  uint32_t code = grpc_message_read(pool, encoding, body->p, body->n, &response_limit, &m, &err);
  snprintf(msg, sizeof msg, "broken response: %s", err.msg);
  if (code == WEIR_GRPC_OK)
    answer(call, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), WEIR_GRPC_OK, NULL, -1 }, m.p, m.n);
  else
    answer_with(call, code, code == WEIR_GRPC_INTERNAL ? msg : err.msg, -1);
  body_free(m.inflated);
  body_free(body);
}

static void answer_status(struct call *call) {
  char msg[2 * MESSAGE_TEXT_MAX];
  struct weir_str text = slice_str(&call->details);
  size_t n = text.n < sizeof msg - 1 ? text.n : sizeof msg - 1;
  if (n) memcpy(msg, text.p, n);
  for (size_t i = 0; i < n; i++)
    if (!msg[i]) msg[i] = ' ';
  msg[n] = 0;
  uint32_t code = (uint32_t)call->status <= WEIR_GRPC_UNAUTHENTICATED ? (uint32_t)call->status : WEIR_GRPC_UNKNOWN;
  answer_with(call, code, msg, retry_after(&call->trailing));
}

static void call_arrive(struct job *j) {
  struct call *call = (struct call *)(void *)((char *)j - offsetof(struct call, job));
  CHECK_MAGIC(call, CALL_MAGIC);
  if (!call->answered && !call->client->closed) {
    if (call->status == GRPC_STATUS_OK) answer_message(call);
    else answer_status(call);
  }
  call_release(call);
}

static void on_finished(struct tag *t, int ok) {
  struct call *call = (struct call *)(void *)((char *)t - offsetof(struct call, tag));
  CHECK_MAGIC(call, CALL_MAGIC);
  (void)ok; /* with a status in the batch it is always 1 */
  call->job.fn = call_arrive;
  if (!port_push(call->client->port, &call->job)) call_release(call);
}

/* --- sending -------------------------------------------------------------------------------------------------- */

static struct call *call_new(struct weir_grpc_client *c, weir_grpc_response_f *on_response, void *arg) {
  struct call *call = calloc(1, sizeof *call);
  WEIR_ASSERT(call != NULL);
  call->magic = CALL_MAGIC;
  call->client = c;
  call->on_response = on_response;
  call->arg = arg;
  call->details = grpc_empty_slice();
  grpc_metadata_array_init(&call->initial);
  grpc_metadata_array_init(&call->trailing);
  atomic_init(&call->halves, 1);
  atomic_fetch_add(&c->refs, 1);
  call->next = c->calls;
  if (call->next) call->next->prev = call;
  c->calls = call;
  return call;
}

/* The message in gRPC's memory: 0, or -1 when it can not be compressed. */
static int make_message(struct weir_grpc_client *c, const struct weir_iov *msg, size_t n, size_t bytes, grpc_slice *ret) {
  if (c->gzip) {
    struct weir_body *body;
    if (compress_deflate(c->port->loop->pool, "gzip", GZIP_LEVEL, msg, n, &body, NULL)) return -1;
    *ret = slice_of(body->p, body->n);
    body_free(body);
    return 0;
  }
  *ret = grpc_slice_malloc(bytes);
  unsigned char *at = GRPC_SLICE_START_PTR(*ret);
  for (size_t i = 0; i < n; i++) {
    if (msg[i].n) memcpy(at, msg[i].p, msg[i].n);
    at += msg[i].n;
  }
  return 0;
}

/* gRPC keeps references to the slices, not the array. */
static void start(struct call *call, const grpc_metadata *metadata, size_t n_metadata, grpc_byte_buffer *message) {
  grpc_op ops[6];
  memset(ops, 0, sizeof ops);
  ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
  ops[0].data.send_initial_metadata.count = n_metadata;
  ops[0].data.send_initial_metadata.metadata = (grpc_metadata *)(uintptr_t)metadata;
  ops[1].op = GRPC_OP_SEND_MESSAGE;
  ops[1].data.send_message.send_message = message;
  ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
  ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
  ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
  ops[4].op = GRPC_OP_RECV_MESSAGE;
  ops[4].data.recv_message.recv_message = &call->message;
  ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
  ops[5].data.recv_status_on_client.trailing_metadata = &call->trailing;
  ops[5].data.recv_status_on_client.status = &call->status;
  ops[5].data.recv_status_on_client.status_details = &call->details;
  atomic_fetch_add(&call->halves, 1);
  grpc_call *started = call->call;
  tag_arm(&call->tag, on_finished);
  grpc_call_error e = grpc_call_start_batch(started, ops, sizeof ops / sizeof *ops, &call->tag, NULL);
  WEIR_ASSERT(e == GRPC_CALL_OK);
}

/* own: this call's metadata instead of the client's, or NULL. */
static void call_with(struct weir_grpc_client *c, const char *path, const grpc_metadata *own, size_t n_own, const struct weir_iov *msg, size_t n,
  int64_t deadline_ns, struct call *call) {
  uint64_t bytes = 0;
  grpc_slice slice;
  for (size_t i = 0; i < n; i++) bytes += msg[i].n;
  if (bytes > UINT32_MAX) {
    answer_later(call, WEIR_GRPC_RESOURCE_EXHAUSTED, "the message is over 4 GiB, the most that gRPC can carry");
    return;
  }
  if (make_message(c, msg, n, (size_t)bytes, &slice)) {
    answer_later(call, WEIR_GRPC_UNAVAILABLE, "cannot compress the message: the byte budget is used up"); /* RESOURCE_EXHAUSTED would be for good */
    return;
  }
  gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
  if (deadline_ns) deadline = (gpr_timespec){ deadline_ns / NS_PER_S, (int32_t)(deadline_ns % NS_PER_S), GPR_CLOCK_MONOTONIC };
  grpc_slice method = grpc_slice_from_copied_string(path);
  call->line = c->line;
  atomic_fetch_add(&call->line->refs, 1);
  call->call = grpc_channel_create_call(call->line->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->port->run->cq, method, NULL, deadline, NULL);
  grpc_slice_unref(method);
  grpc_byte_buffer *message = message_of_slice(slice, c->gzip);
  start(call, own ? own : c->metadata, own ? n_own : c->n_metadata, message);
  grpc_byte_buffer_destroy(message);
}

void core_call(struct weir_grpc_client *c, const char *path, const struct weir_iov *msg, size_t n, int64_t deadline_ns, weir_grpc_response_f *on_response,
  void *arg) {
  CHECK_MAGIC(c, CLIENT_MAGIC);
  WEIR_ASSERT(!c->closed);
  call_with(c, path, NULL, 0, msg, n, deadline_ns, call_new(c, on_response, arg));
}

void core_call_with(struct weir_grpc_client *c, const char *path, const struct weir_http_header *metadata, size_t n_metadata, const struct weir_iov *msg,
  size_t n, int64_t deadline_ns, weir_grpc_response_f *on_response, void *arg) {
  CHECK_MAGIC(c, CLIENT_MAGIC);
  WEIR_ASSERT(!c->closed);
  struct call *call = call_new(c, on_response, arg);
  grpc_metadata *own = calloc(n_metadata + 1, sizeof *own);
  int legal = 1;
  WEIR_ASSERT(own != NULL);
  for (size_t i = 0; i < n_metadata; i++) legal &= put_metadata(&own[i], &metadata[i]);
  if (legal) call_with(c, path, own, n_metadata, msg, n, deadline_ns, call);
  else answer_later(call, WEIR_GRPC_INTERNAL, "gRPC cannot send a header of this call: its name or a character of its value is not allowed");
  free_metadata(own, n_metadata);
}

/* --- life ------------------------------------------------------------------------------------------------------- */

/* Metadata that is not legal would end in a failed call each time: what a configuration says is checked here. */
static int copy_metadata(struct weir_grpc_client *c, const struct weir_grpc_client_config *g, struct weir_error *err) {
  c->metadata = calloc(g->n_metadata + 1, sizeof *c->metadata);
  WEIR_ASSERT(c->metadata != NULL);
  for (size_t i = 0; i < g->n_metadata; i++) {
    const struct weir_http_header *h = &g->metadata[i];
    if (!put_metadata(&c->metadata[c->n_metadata++], h)) return weir_fail_field(err, "headers", "gRPC cannot send the header \"%.*s\": its name or a character of its value is not allowed",
      (int)(h->name.n < 64 ? h->name.n : 64), h->name.p);
  }
  return 0;
}

/* A copy for as long as the client, or NULL. */
static const char *keep(struct weir_grpc_client *c, const char *text) {
  if (!text) return NULL;
  WEIR_ASSERT(c->n_strings < STRINGS);
  char *copy = strdup(text);
  WEIR_ASSERT(copy != NULL);
  return c->strings[c->n_strings++] = copy;
}

static void fill_args(struct weir_grpc_client *c, const struct weir_grpc_client_config *g) {
  struct args *a = &c->args;
  c->quota = quota_new(&c->port->loop->env->budget, MAX_RESPONSE);
  arg_str(a, GRPC_ARG_PRIMARY_USER_AGENT_STRING, g->user_agent ? keep(c, g->user_agent) : "weir");
  if (g->balancer_name) arg_str(a, GRPC_ARG_LB_POLICY_NAME, keep(c, g->balancer_name)); /* xDS and a service config go before it */
  if (g->authority) arg_str(a, GRPC_ARG_DEFAULT_AUTHORITY, keep(c, g->authority));
  if (g->tls && g->tls->server_name && *g->tls->server_name) arg_str(a, GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, keep(c, g->tls->server_name));
  arg_int(a, GRPC_ARG_ENABLE_RETRIES, 0); /* retries are the sender's: two loops would multiply */
  arg_int(a, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0); /* inflated here, with a bound */
  arg_int(a, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, MAX_RESPONSE);
  arg_int(a, GRPC_ARG_MAX_METADATA_SIZE, MAX_METADATA);
  arg_int(a, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, BACKOFF_FIRST_MS);
  arg_int(a, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_TIMEOUT_MS); /* in spite of its name the time for one attempt */
  arg_int(a, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, BACKOFF_MAX_MS);
  arg_int(a, GRPC_ARG_ENABLE_HTTP_PROXY, 0); /* as the native engine: no proxy from the environment */
  arg_int(a, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1); /* a lane's connection is its own */
  arg_int(a, GRPC_ARG_ENABLE_CHANNELZ, 0);
  arg_int(a, GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE | 1 << GRPC_COMPRESS_GZIP);
  if (c->gzip) arg_int(a, GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM, GRPC_COMPRESS_GZIP); /* names it in grpc-encoding; messages are compressed already */
  if (g->ping_after_ns) {
    arg_int(a, GRPC_ARG_KEEPALIVE_TIME_MS, ms_of(g->ping_after_ns));
    arg_int(a, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, ms_of(g->ping_timeout_ns));
    arg_int(a, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, g->flags & WEIR_HTTP_PING_IDLE ? 1 : 0);
  }
  arg_quota(a, c->quota);
}

/* Calls from now on take a new channel; those under way keep theirs. On an error what was there stays. */
static int open_line(struct weir_grpc_client *c, struct weir_error *err) {
  grpc_channel_credentials *credentials = NULL;
  if (c->tls.context) {
    struct tls_texts *texts = tls_texts_of(&c->tls);
    int r = core_channel_credentials(texts, c->tls_flags, &credentials, err);
    tls_texts_release(texts);
    if (r) return r;
  } else {
    credentials = grpc_insecure_credentials_create();
  }
  struct line *l = calloc(1, sizeof *l);
  WEIR_ASSERT(l != NULL);
  atomic_init(&l->refs, 1);
  l->channel = grpc_channel_create(c->endpoint, credentials, &(grpc_channel_args){ c->args.n, c->args.v });
  grpc_channel_credentials_release(credentials);
  line_unref(c->line);
  c->line = l;
  return 0;
}

/* The files have changed. [lane] */
static void on_tls_change(struct tls_use *u) {
  struct weir_grpc_client *c = (struct weir_grpc_client *)(void *)((char *)u - offsetof(struct weir_grpc_client, tls));
  struct weir_error err = { 0 };
  CHECK_MAGIC(c, CLIENT_MAGIC);
  if (open_line(c, &err)) log_warn("grpc_core", "changed certificate files are not used: %s; %s", err.msg, err.hint);
}

static int check(const struct weir_grpc_client_config *g, struct weir_error *err) {
  if (g->compression && *g->compression && strcmp(g->compression, "gzip") != 0 && strcmp(g->compression, "none") != 0)
    return weir_fail_field(err, "compression", "\"%s\" is not supported: use gzip or none", g->compression);
  const char *balancer = g->balancer_name;
  if (balancer && strcmp(balancer, "round_robin") != 0 && strcmp(balancer, "pick_first") != 0)
    return weir_fail_field(err, "balancer_name", "\"%s\" is not supported: use round_robin or pick_first", balancer);
  return 0;
}

static struct weir_grpc_client *client_new(struct port *port, const struct weir_grpc_client_config *g) {
  struct weir_grpc_client *c = calloc(1, sizeof *c);
  WEIR_ASSERT(c != NULL);
  c->engine = &grpc_core;
  c->magic = CLIENT_MAGIC;
  c->port = port;
  c->gzip = g->compression && strcmp(g->compression, "gzip") == 0;
  c->tls.on_change = on_tls_change;
  c->tls_flags = g->tls ? g->tls->flags : 0;
  c->endpoint = strdup(g->endpoint);
  WEIR_ASSERT(c->endpoint != NULL);
  port_ref(port); /* one for the client in memory, beside the user's */
  atomic_init(&c->refs, 1);
  return c;
}

int core_client_open(struct loop *loop, const struct weir_grpc_client_config *config, struct weir_grpc_client **ret, struct weir_error *err) {
  struct weir_grpc_client_config g = { 0 };
  struct port *port;
  memcpy(&g, config, config->size < sizeof g ? config->size : sizeof g);
  int r = check(&g, err);
  if (!r) r = port_open(loop, &port, err);
  if (r) return r;
  struct weir_grpc_client *c = client_new(port, &g);
  r = copy_metadata(c, &g, err);
  if (!r) r = core_tls_begin(&c->tls, loop, 0, g.tls, err);
  if (!r) {
    fill_args(c, &g);
    r = open_line(c, err);
  }
  if (r) {
    tls_use_end(&c->tls);
    port_close(port);
    client_unref(c);
    return r;
  }
  *ret = c;
  return 0;
}

void core_client_close(struct weir_grpc_client *c) {
  if (!c) return;
  CHECK_MAGIC(c, CLIENT_MAGIC);
  c->closed = 1;
  tls_use_end(&c->tls);
  for (struct call *call = c->calls; call; call = call->next) {
    if (call->late.pending) continue; /* it never was sent */
    grpc_call_cancel(call->call, NULL);
    answer_later(call, WEIR_GRPC_UNAVAILABLE, "the client was closed");
  }
  line_unref(c->line);
  port_close(c->port);
  client_unref(c);
}
