/*
 * plugins/grpc_core/server.c - listen, join, drain, close.
 */
#include "plugins/grpc_core/server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/listener.h"
#include "core/log.h"
#include "core/parse.h"

#define DEFAULT_MAX_MESSAGE (4u << 20)
#define DEFAULT_MAX_STREAMS 100
#define MAX_METADATA (64 << 10) /* as the HTTP server's max_header_bytes */
#define REQUESTED_CALLS 32      /* waiting for peers; what comes faster queues in gRPC */
#define REBIND_TRIES 200        /* of 5 ms: a socket of ours that is being closed */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared *list;
static _Atomic int n_closing; /* servers that were stopped and are not gone */

/* --- counting -------------------------------------------------------------------------------------------- */

void shared_ref(struct shared *s) { atomic_fetch_add(&s->refs, 1); }

void shared_unref(struct shared *s) {
  if (atomic_fetch_sub(&s->refs, 1) > 1) return;
  if (s->server) grpc_server_destroy(s->server);
  if (s->stopping) atomic_fetch_sub(&n_closing, 1);
  tls_texts_release(s->offer);
  tls_texts_release(s->served);
  if (s->run) run_release(s->run);
  pthread_mutex_destroy(&s->lock);
  free(s->owner);
  free(s->endpoint);
  free(s);
}

void server_unref(struct weir_grpc_server *m) {
  if (atomic_fetch_sub(&m->refs, 1) > 1) return;
  for (size_t i = 0; i < m->n_methods; i++) free((char *)(uintptr_t)m->methods[i].path);
  free(m->methods);
  if (m->shared) shared_unref(m->shared);
  tls_texts_release(m->texts);
  if (m->port) port_unref(m->port);
  free(m);
}

struct weir_grpc_server *shared_next(struct shared *s) {
  struct weir_grpc_server *found = NULL;
  pthread_mutex_lock(&s->lock);
  for (int i = 0; i < s->n_members && !found; i++) {
    struct weir_grpc_server *m = s->members[(s->next_member + i) % s->n_members];
    if (!m || m->left) continue;
    found = m;
    s->next_member = (s->next_member + i + 1) % s->n_members;
    m->n_live++;
    atomic_fetch_add(&m->refs, 1);
  }
  pthread_mutex_unlock(&s->lock);
  return found;
}

void server_call_ended(struct weir_grpc_server *m) {
  pthread_mutex_lock(&m->shared->lock);
  int done = --m->n_live == 0 && m->draining;
  if (done) m->draining = 0;
  pthread_mutex_unlock(&m->shared->lock);
  if (done && !port_push(m->port, &m->drain_job)) server_unref(m); /* closed meanwhile: nobody waits for it any more */
}

/* --- listening -------------------------------------------------------------------------------------------- */

static void keepalive_args(struct args *a, const struct weir_grpc_server_config *c) {
  const struct weir_http_keepalive *k = c->keepalive;
  if (c->idle_timeout_ns) arg_int(a, GRPC_ARG_MAX_CONNECTION_IDLE_MS, ms_of(c->idle_timeout_ns));
  if (!k) return;
  if (k->max_age_ns) arg_int(a, GRPC_ARG_MAX_CONNECTION_AGE_MS, ms_of(k->max_age_ns));
  if (k->max_age_grace_ns) arg_int(a, GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, ms_of(k->max_age_grace_ns));
  if (k->ping_after_ns) arg_int(a, GRPC_ARG_KEEPALIVE_TIME_MS, ms_of(k->ping_after_ns));
  if (k->ping_timeout_ns) arg_int(a, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, ms_of(k->ping_timeout_ns));
  if (k->ping_min_ns) arg_int(a, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, ms_of(k->ping_min_ns));
  arg_int(a, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, k->flags & WEIR_HTTP_PING_IDLE ? 1 : 0);
}

static void server_args(struct args *a, const struct weir_grpc_server_config *c, grpc_resource_quota *quota) {
  arg_int(a, GRPC_ARG_ALLOW_REUSEPORT, 0); /* on by default: two servers would share a port silently */
  arg_int(a, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0); /* it would inflate a bomb to the end before it looks at its size */
  arg_int(a, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1);      /* judged in exchange.c, with our sentence; gRPC looks no earlier */
  arg_int(a, GRPC_ARG_MAX_CONCURRENT_STREAMS, c->max_concurrent_streams ? (int)c->max_concurrent_streams : DEFAULT_MAX_STREAMS);
  arg_int(a, GRPC_ARG_MAX_METADATA_SIZE, c->max_header_bytes && c->max_header_bytes < INT32_MAX ? (int)c->max_header_bytes : MAX_METADATA);
  arg_int(a, GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE | 1 << GRPC_COMPRESS_GZIP);
  arg_int(a, GRPC_ARG_ENABLE_CHANNELZ, 0);
  keepalive_args(a, c);
  arg_quota(a, quota);
}

/* gRPC's form of an endpoint. */
static void target_of(const char *host, int port, char *buf, size_t cap) {
  if (port < 0) snprintf(buf, cap, "unix:%s", host);
  else if (!*host) snprintf(buf, cap, "[::]:%d", port); /* IPv4 as well; gRPC falls back to 0.0.0.0 by itself */
  else if (!strcmp(host, "localhost")) snprintf(buf, cap, "127.0.0.1:%d", port);
  else snprintf(buf, cap, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}

/* Our own server of a moment ago may be closing its socket on another thread. */
static int claim(struct shared *s, struct loop *loop, struct weir_error *err) {
  struct timespec pause = { 0, 5000000 };
  int r = listener_claim(loop->env->listeners, s->owner, s->endpoint, &s->claim, err);
  for (int i = 0; r && atomic_load(&n_closing) > 0 && strstr(err->msg, "this process") && i < REBIND_TRIES; i++) {
    nanosleep(&pause, NULL);
    r = listener_claim(loop->env->listeners, s->owner, s->endpoint, &s->claim, err);
  }
  return r;
}

static int bind_server(struct shared *s, struct loop *loop, const struct weir_grpc_server_config *c, struct weir_error *err) {
  char host[256], target[300];
  int port = 0;
  struct weir_error why = { 0 };
  int r = claim(s, loop, &why);
  if (r) {
    *err = why;
    return r;
  }
  parse_endpoint(c->endpoint, host, sizeof host, &port);
  target_of(host, port, target, sizeof target);
  struct args a = { .n = 0 };
  grpc_resource_quota *quota = quota_new(&loop->env->budget, c->max_message_bytes ? c->max_message_bytes : DEFAULT_MAX_MESSAGE);
  server_args(&a, c, quota);
  s->server = grpc_server_create(&(grpc_channel_args){ a.n, a.v }, NULL);
  grpc_resource_quota_unref(quota);
  grpc_server_register_completion_queue(s->server, s->run->cq, NULL);
  grpc_server_credentials *credentials = core_server_credentials(s);
  s->port = grpc_server_add_http2_port(s->server, target, credentials);
  grpc_server_credentials_release(credentials);
  if (s->port == 0) return weir_fail(err, WEIR_E_IO, "cannot listen on %s: gRPC refuses the address%s, or it was taken a moment ago", c->endpoint, s->offer ? " or the certificate" : "");
  if (port < 0) s->port = -1;
  grpc_server_start(s->server);
  return 0;
}

static void on_down(struct tag *t, int ok) {
  (void)ok;
  shared_unref((struct shared *)((char *)t - offsetof(struct shared, down)));
}

/* No more connections and calls; those that run go on. */
static void shut_down(struct shared *s) {
  s->stopping = 1;
  atomic_fetch_add(&n_closing, 1);
  shared_ref(s);
  tag_arm(&s->down, on_down);
  grpc_server_shutdown_and_notify(s->server, s->run->cq, &s->down);
}

/* No more calls for this member. The server goes with the last one, so that those of a new configuration may take over from those of the old. */
static void member_leave(struct weir_grpc_server *m) {
  struct shared *s = m->shared;
  pthread_mutex_lock(&list_lock);
  pthread_mutex_lock(&s->lock);
  int last = !m->left && --s->n_taking == 0;
  m->left = 1;
  pthread_mutex_unlock(&s->lock);
  for (struct shared **at = &list; last && *at; at = &(*at)->next)
    if (*at == s) {
      *at = s->next;
      break;
    }
  pthread_mutex_unlock(&list_lock);
  if (!last) return;
  listener_unclaim(s->claim);
  s->claim = NULL;
  shut_down(s);
}

static enum security security_of(const struct weir_grpc_server *m) { return !m->texts ? SECURITY_NONE : m->texts->ca ? SECURITY_MUTUAL : SECURITY_TLS; }

static struct shared *shared_new(const struct weir_grpc_server_config *c, const struct weir_grpc_server *m) {
  struct shared *s = calloc(1, sizeof *s);
  WEIR_ASSERT(s != NULL);
  s->owner = strdup(c->owner);
  s->endpoint = strdup(c->endpoint);
  WEIR_ASSERT(s->owner && s->endpoint);
  atomic_init(&s->refs, 1);
  pthread_mutex_init(&s->lock, NULL);
  s->security = security_of(m);
  shared_offer(s, m->texts);
  s->run = run_hold();
  return s;
}

/* gRPC fixes it when it binds the address. */
static int same_security(const struct shared *s, const struct weir_grpc_server *m, struct weir_error *err) {
  if (s->security == security_of(m)) return 0;
  weir_fail_field(err, "tls", "%s: gRPC's server cannot turn TLS, or the demand for client certificates, on or off while it runs", s->endpoint);
  weir_hint(err, "restart weir");
  return WEIR_E_CONFIG;
}

/* The server of (owner, endpoint), or a new one; with a ref for the member. Under list_lock. */
static int shared_find(struct loop *loop, const struct weir_grpc_server_config *c, const struct weir_grpc_server *m, struct shared **ret, struct weir_error *err) {
  struct shared *s;
  for (s = list; s; s = s->next)
    if (!strcmp(s->endpoint, c->endpoint) && !strcmp(s->owner, c->owner)) break;
  int r = s ? same_security(s, m, err) : 0;
  if (r) return r;
  if (s) {
    shared_ref(s);
    *ret = s;
    return 0;
  }
  s = shared_new(c, m);
  r = bind_server(s, loop, c, err);
  if (r) {
    listener_unclaim(s->claim);
    if (s->server) shut_down(s); /* it was never started, but has to be shut down before it can go */
    shared_unref(s);
    return r;
  }
  s->next = list;
  list = s;
  *ret = s;
  return 0;
}

/* The certificate of the member that joined last; under s->lock. */
static void offer_newest(struct shared *s) {
  const struct weir_grpc_server *newest = NULL;
  for (int i = 0; i < s->n_members; i++)
    if (s->members[i] && (!newest || s->members[i]->order > newest->order)) newest = s->members[i];
  if (newest) shared_offer(s, newest->texts);
}

/* The files have changed. [lane] */
static void on_tls_change(struct tls_use *u) {
  struct weir_grpc_server *m = (struct weir_grpc_server *)(void *)((char *)u - offsetof(struct weir_grpc_server, tls));
  CHECK_MAGIC(m, SERVER_MAGIC);
  struct tls_texts *texts = tls_texts_of(u), *before;
  pthread_mutex_lock(&m->shared->lock);
  before = m->texts;
  m->texts = texts;
  offer_newest(m->shared);
  pthread_mutex_unlock(&m->shared->lock);
  tls_texts_release(before);
}

static int shared_join(struct shared *s, struct weir_grpc_server *m, struct weir_error *err) {
  pthread_mutex_lock(&s->lock);
  int first = s->n_members == 0, at = 0;
  while (at < s->n_members && s->members[at]) at++; /* the place of one that was closed */
  int full = at == MAX_MEMBERS;
  if (!full) {
    s->members[at] = m;
    s->n_members += at == s->n_members;
    m->order = ++s->n_joined;
    offer_newest(s);
    s->n_open++;
    s->n_taking++;
  }
  pthread_mutex_unlock(&s->lock);
  if (full) return weir_fail(err, WEIR_E_LIMIT, "more than %d lanes listen on %s", MAX_MEMBERS, s->endpoint);
  for (int i = 0; first && i < REQUESTED_CALLS; i++) exchange_request(s);
  return 0;
}

static void run_drained(struct job *j) {
  struct weir_grpc_server *m = (struct weir_grpc_server *)(void *)((char *)j - offsetof(struct weir_grpc_server, drain_job));
  CHECK_MAGIC(m, SERVER_MAGIC);
  weir_fn_f *drained = m->drained;
  m->drained = NULL;
  if (!m->closed && drained) drained(m->drained_arg);
  server_unref(m);
}

static struct weir_grpc_server *member_new(const struct weir_grpc_server_config *c, struct port *port) {
  struct weir_grpc_server *m = calloc(1, sizeof *m);
  WEIR_ASSERT(m != NULL);
  m->engine = &grpc_core;
  m->magic = SERVER_MAGIC;
  m->port = port;
  m->self = c->self;
  m->on_metadata = c->on_metadata;
  atomic_init(&m->refs, 1);
  m->tls.on_change = on_tls_change;
  m->drain_job.fn = run_drained;
  uint64_t max_bytes = c->max_message_bytes ? c->max_message_bytes : DEFAULT_MAX_MESSAGE;
  m->limit = (struct grpc_limit){ max_bytes < UINT32_MAX ? max_bytes : UINT32_MAX, "max_recv_msg_size_mib", 0 };
  m->n_methods = c->n_methods;
  m->methods = calloc(c->n_methods + 1, sizeof *m->methods);
  WEIR_ASSERT(m->methods != NULL);
  for (size_t i = 0; i < c->n_methods; i++) {
    m->methods[i] = (struct weir_grpc_method){ strdup(c->methods[i].path), c->methods[i].on_request };
    WEIR_ASSERT(m->methods[i].path != NULL);
  }
  return m;
}

int core_listen(struct loop *loop, const struct weir_grpc_server_config *config, struct weir_grpc_server **ret, struct weir_error *err) {
  struct weir_grpc_server_config c = { 0 };
  struct port *port;
  memcpy(&c, config, config->size < sizeof c ? config->size : sizeof c);
  int r = port_open(loop, &port, err);
  if (r) return r;
  struct weir_grpc_server *m = member_new(&c, port);
  port_ref(port); /* one for the member in memory, beside the user's */
  r = core_tls_begin(&m->tls, loop, 1, c.tls, err);
  if (!r && c.tls) m->texts = tls_texts_of(&m->tls);
  pthread_mutex_lock(&list_lock);
  if (!r) r = shared_find(loop, &c, m, &m->shared, err);
  if (!r) r = shared_join(m->shared, m, err);
  pthread_mutex_unlock(&list_lock);
  if (r) {
    tls_use_end(&m->tls);
    port_close(port);
    server_unref(m);
    return r;
  }
  *ret = m;
  return 0;
}

int core_port(const struct weir_grpc_server *m) { return m->shared->port; }

/* --- ending ------------------------------------------------------------------------------------------------- */

/* Drained is when this lane's calls have ended; connections of peers that do not answer GOAWAY are left to core_close. */
void core_drain(struct weir_grpc_server *m, weir_fn_f *drained, void *arg) {
  CHECK_MAGIC(m, SERVER_MAGIC);
  m->drained = drained;
  m->drained_arg = arg;
  atomic_fetch_add(&m->refs, 1); /* run_drained gives it back */
  member_leave(m);
  pthread_mutex_lock(&m->shared->lock);
  m->draining = m->n_live > 0;
  int now = !m->draining;
  pthread_mutex_unlock(&m->shared->lock);
  if (now) port_push(m->port, &m->drain_job);
}

void core_close(struct weir_grpc_server *m) {
  if (!m) return;
  CHECK_MAGIC(m, SERVER_MAGIC);
  struct shared *s = m->shared;
  m->closed = 1;
  member_leave(m);
  pthread_mutex_lock(&s->lock);
  int last = --s->n_open == 0, waiting = m->draining;
  m->draining = 0;
  for (int i = 0; i < s->n_members; i++)
    if (s->members[i] == m) s->members[i] = NULL;
  offer_newest(s);
  pthread_mutex_unlock(&s->lock);
  tls_use_end(&m->tls);
  for (struct weir_grpc_exchange *x = m->live; x; x = x->next) exchange_cancel(x);
  if (last) grpc_server_cancel_all_calls(s->server); /* and ends the connections */
  if (waiting) server_unref(m); /* the drain that is not told any more */
  port_close(m->port);
  server_unref(m);
}
