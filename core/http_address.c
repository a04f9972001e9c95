/*
 * Where a client connects: the addresses of its name, when they are asked for anew, which of them is next, and how long one that failed is left alone.
 * Round robin and its re-resolution are grpc-go's; the waits differ (docs/design/transports.md, "Client").
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_call.h"
#include "core/jitter.h"
#include "core/parse.h"

#define BACKOFF_FIRST_NS (100 * NS_PER_MS)
#define BACKOFF_ALONE_NS (5 * NS_PER_S)   /* at most, when nothing else answers: a back end that comes back is found soon */
#define BACKOFF_OTHERS_NS (30 * NS_PER_S) /* at most, when others do */
#define BACKOFF_JITTER_PERCENT 20
#define RENEW_MIN_NS (30 * NS_PER_S) /* as grpc-go's MinResolutionInterval */
#define RENEW_MAX_S 3600

/* --- the endpoint ---------------------------------------------------------------------------------------------------- */

static int bad_endpoint(const char *endpoint, const char *hint, struct weir_error *err) {
  if (strncmp(endpoint, "unix:", 5) != 0 && strchr(endpoint, '@')) weir_fail(err, WEIR_E_CONFIG, "what has an `@` is no address to connect to"); /* not shown: a password may stand before it */
  else weir_fail(err, WEIR_E_CONFIG, "`%s` is no address to connect to", endpoint);
  weir_hint(err, "%s", hint);
  return WEIR_E_CONFIG;
}

static void fixed_address(struct weir_http_client *cl, const struct sockaddr_storage *to) {
  cl->fixed = 1;
  cl->addresses = calloc(1, sizeof *cl->addresses);
  WEIR_ASSERT(cl->addresses != NULL);
  cl->addresses[cl->n_addresses++].to = *to;
}

static int unix_address(struct weir_http_client *cl, const char *path, struct weir_error *err) {
  struct sockaddr_storage ss = { .ss_family = AF_UNIX };
  struct sockaddr_un *un = (struct sockaddr_un *)&ss;
  if (*path != '/') return bad_endpoint(cl->endpoint, "write unix:///path with an absolute path; abstract sockets are not supported", err);
  if (strlen(path) >= sizeof un->sun_path) {
    weir_fail(err, WEIR_E_CONFIG, "the socket path %.200s is longer than %zu bytes", path, sizeof un->sun_path - 1);
    weir_hint(err, "that is the kernel's limit: choose a shorter path");
    return WEIR_E_CONFIG;
  }
  memcpy(un->sun_path, path, strlen(path) + 1);
  fixed_address(cl, &ss);
  snprintf(cl->host, sizeof cl->host, "localhost"); /* what grpc-go sends as :authority */
  cl->authority = strdup("localhost");
  WEIR_ASSERT(cl->authority != NULL);
  return 0;
}

/* dns://[server]/host:port, as grpc-go spells it. Returns host:port. */
static const char *cut_dns(struct weir_http_client *cl) {
  const char *p = cl->endpoint, *slash;
  if (strncmp(p, "dns://", 6) != 0) return p;
  p += 6;
  if (!(slash = strchr(p, '/'))) return "";
  if (slash > p && !(cl->dns_server = strndup(p, (size_t)(slash - p)))) WEIR_ASSERT(0);
  return slash + 1;
}

int address_init(struct weir_http_client *cl, struct weir_error *err) {
  struct sockaddr_storage ss = { 0 };
  if (strncmp(cl->endpoint, "unix://", 7) == 0) return unix_address(cl, cl->endpoint + 7, err);
  const char *at = cut_dns(cl);
  if (parse_endpoint(at, cl->host, sizeof cl->host, &cl->port) || cl->port <= 0 || !cl->host[0])
    return bad_endpoint(cl->endpoint, "write host:port, such as localhost:4317, or unix:///path", err);
  cl->authority = strdup(at);
  WEIR_ASSERT(cl->authority != NULL);
  if (uv_ip4_addr(cl->host, cl->port, (struct sockaddr_in *)&ss) == 0 || uv_ip6_addr(cl->host, cl->port, (struct sockaddr_in6 *)&ss) == 0) fixed_address(cl, &ss);
  return 0;
}

void address_done(struct weir_http_client *cl) {
  free(cl->addresses);
  free(cl->dns_server);
  free(cl->authority);
}

/* --- one that failed --------------------------------------------------------------------------------------------------- */

static int same(const struct sockaddr_storage *a, const struct sockaddr_storage *b) { return memcmp(a, b, sizeof *a) == 0; }

static struct http_address *find(struct weir_http_client *cl, const struct sockaddr_storage *to) {
  for (uint32_t i = 0; i < cl->n_addresses; i++)
    if (same(&cl->addresses[i].to, to)) return &cl->addresses[i];
  return NULL; /* the name does not have it any more */
}

static int64_t longer(int64_t backoff_ns, int64_t max_ns) {
  int64_t next = backoff_ns ? backoff_ns + backoff_ns / 5 * 3 : BACKOFF_FIRST_NS; /* x 1.6 */
  return next < max_ns ? next : max_ns;
}

void address_failed(struct weir_http_client *cl, const struct sockaddr_storage *to, int others) {
  struct http_address *a = find(cl, to);
  cl->renew = 1;
  if (!a) return;
  a->backoff_ns = longer(a->backoff_ns, others ? BACKOFF_OTHERS_NS : BACKOFF_ALONE_NS);
  a->not_before_ns = clock_mono_ns() + jitter_ns(a->backoff_ns, BACKOFF_JITTER_PERCENT);
}

void address_answered(struct weir_http_client *cl, const struct sockaddr_storage *to) {
  struct http_address *a = find(cl, to);
  if (a) a->backoff_ns = a->not_before_ns = 0;
}

/* --- which is next ------------------------------------------------------------------------------------------------------- */

static int is_linked(const struct weir_http_client *cl, const struct http_address *a) {
  for (const struct http_link *l = cl->links; l; l = l->next)
    if (l->state != LINK_CLOSING && !l->retiring && same(&l->to, &a->to)) return 1;
  return 0;
}

struct http_address *address_next(struct weir_http_client *cl, int failed, int unlinked) {
  int64_t now = clock_mono_ns();
  uint32_t from = cl->cfg.flags & WEIR_HTTP_H2_ONLY ? 0 : cl->next_address; /* HTTP/1.1 has many connections: they spread */
  for (uint32_t i = 0; i < cl->n_addresses; i++) {
    uint32_t at = (from + i) % cl->n_addresses;
    struct http_address *a = &cl->addresses[at];
    if ((a->backoff_ns != 0) != failed || a->not_before_ns > now || (unlinked && is_linked(cl, a))) continue;
    cl->next_address = at + 1;
    return a;
  }
  return NULL;
}

int64_t address_wait_ns(const struct weir_http_client *cl) {
  int64_t now = clock_mono_ns(), first = INT64_MAX;
  for (uint32_t i = 0; i < cl->n_addresses; i++) {
    int64_t at = cl->addresses[i].not_before_ns;
    if (at > now && at < first) first = at;
  }
  if (!cl->n_addresses && !cl->resolving) first = cl->resolve_not_before_ns;
  return first == INT64_MAX ? first : first - now;
}

/* --- the name's addresses -------------------------------------------------------------------------------------------------- */

/* Those that stay keep what is known of them; connections to those that are gone end with their last call. */
static void take_list(struct weir_http_client *cl, const struct sockaddr_storage *list, uint32_t n) {
  struct http_address *next = calloc(n, sizeof *next);
  WEIR_ASSERT(next != NULL);
  for (uint32_t i = 0; i < n; i++) {
    struct http_address *known = find(cl, &list[i]);
    if (known) next[i] = *known;
    next[i].to = list[i];
  }
  free(cl->addresses);
  cl->addresses = next;
  cl->n_addresses = n;
  for (struct http_link *l = cl->links, *after; l; l = after) {
    after = l->next;
    if (!find(cl, &l->to)) link_retire(l);
  }
}

static void resolve_failed(struct weir_http_client *cl, const char *why) {
  struct weir_error err = { 0 };
  cl->resolve_backoff_ns = longer(cl->resolve_backoff_ns, BACKOFF_ALONE_NS);
  cl->resolve_not_before_ns = clock_mono_ns() + jitter_ns(cl->n_addresses ? RENEW_MIN_NS : cl->resolve_backoff_ns, BACKOFF_JITTER_PERCENT);
  if (cl->n_addresses) return; /* the old ones may still do */
  weir_fail(&err, WEIR_E_IO, "%s: cannot resolve the name: %s", cl->endpoint, why);
  client_fail_waiting(cl, &err);
}

static void on_resolved(void *arg, const struct sockaddr_storage *list, uint32_t n, int64_t ttl_s, const char *why) {
  struct weir_http_client *cl = arg;
  int64_t ttl_ns = (ttl_s < RENEW_MAX_S ? ttl_s : RENEW_MAX_S) * NS_PER_S;
  cl->resolving = NULL;
  timer_cancel(cl->loop, &cl->resolve_timer);
  if (!n) {
    resolve_failed(cl, why);
    return;
  }
  cl->resolve_backoff_ns = 0;
  cl->resolve_not_before_ns = clock_mono_ns() + RENEW_MIN_NS;
  cl->stale_ns = clock_mono_ns() + (ttl_ns > RENEW_MIN_NS ? ttl_ns : RENEW_MIN_NS);
  take_list(cl, list, n);
  if (cl->waiting) loop_defer(cl->loop, &cl->work);
}

static void on_resolve_timer(void *arg) {
  struct weir_http_client *cl = arg;
  resolve_cancel(cl->resolving);
  cl->resolving = NULL;
  resolve_failed(cl, "no answer in time");
}

void addresses_renew(struct weir_http_client *cl) {
  int64_t now = clock_mono_ns();
  const char *why = "";
  if (cl->fixed || cl->resolving || now < cl->resolve_not_before_ns || (cl->n_addresses && !cl->renew && now < cl->stale_ns)) return;
  cl->renew = 0;
  cl->resolve_timer.fn = on_resolve_timer;
  cl->resolve_timer.arg = cl;
  cl->resolving = resolve_start(cl->loop, cl->host, cl->port, cl->dns_server, on_resolved, cl, &why);
  if (cl->resolving) timer_set(cl->loop, &cl->resolve_timer, cl->cfg.connect_timeout_ns);
  else resolve_failed(cl, why);
}

void addresses_stop(struct weir_http_client *cl) {
  timer_cancel(cl->loop, &cl->resolve_timer);
  resolve_cancel(cl->resolving);
  cl->resolving = NULL;
}
