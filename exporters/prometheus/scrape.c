/*
 * The page: who may have it, in which form, and its making a piece at a time.
 *
 * A step of the lane renders (and compresses) one piece, so that data goes on being taken while a large page is made. The pieces are one gzip stream, by zlib: the host's
 * deflate makes a whole member of each call, and curl reads only the first. What changes meanwhile is on the page or not; a series that goes is skipped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "prometheus.h"

#define PIECE_BYTES (256u << 10) /* about 1 ms with gzip */
#define SLACK_BYTES (16u << 10)
#define PACKED_BYTES (64u << 10)

struct pieces { /* of an answer, until it is written */
  const struct weir_http_service *http;
  size_t n, cap;
  struct weir_body **v;
};

struct scrape {
  struct scrape *next, *prev;
  struct weir_http_exchange *exchange;
  struct wanted wanted;
  struct page page;
  struct pieces *pieces;
  struct weir_body *packed; /* gzip: what comes out of z */
  z_stream z;
  struct family **families; /* by name, as they were at first */
  size_t n_families, at;
  struct series *series; /* the next; NULL: begin with families[at] */
  int is_open;           /* families[at] has begun */
};

/* --- a scrape under way ------------------------------------------------------------------------------------------------------------------- */

static void pieces_free(void *arg) {
  struct pieces *p = arg;
  if (!p) return;
  for (size_t i = 0; i < p->n; i++) p->http->body_free(p->v[i]);
  free(p->v);
  free(p);
}

static int piece_add(struct pieces *p, struct weir_body *b) {
  if (p->n == p->cap) {
    size_t cap = p->cap ? p->cap * 2 : 16;
    struct weir_body **v = realloc(p->v, cap * sizeof *v);
    if (!v) return -1;
    p->v = v;
    p->cap = cap;
  }
  p->v[p->n++] = b;
  return 0;
}

static void leave_ring(struct exporter *e, struct scrape *s) {
  e->n_scrapes--;
  s->prev->next = s->next;
  s->next->prev = s->prev;
  if (e->scrapes == s) e->scrapes = e->n_scrapes ? s->next : NULL;
}

static void scrape_free(struct exporter *e, struct scrape *s) {
  leave_ring(e, s);
  if (s->page.body) e->http->body_free(s->page.body);
  if (s->packed) e->http->body_free(s->packed);
  if (s->wanted.gzip) deflateEnd(&s->z);
  page_done(&s->page);
  pieces_free(s->pieces);
  free(s->families);
  free(s);
}

void scrape_free_all(struct exporter *e) {
  while (e->scrapes) scrape_free(e, e->scrapes);
}

static void refuse(struct exporter *e, struct weir_http_exchange *ex, uint32_t status, const char *text) {
  struct weir_http_header headers[2] = { { weir_str_of("content-type"), weir_str_of("text/plain; charset=utf-8") },
    { weir_str_of(status == 405 ? "allow" : "retry-after"), weir_str_of(status == 405 ? "GET, HEAD" : "1") } };
  struct weir_iov body = { text, strlen(text) };
  struct weir_http_reply reply = { .status = status, .headers = headers, .n_headers = status == 404 ? 1 : 2, .body = &body, .n_body = 1 };
  e->http->reply(ex, &reply);
}

static void give_up(struct exporter *e, struct scrape *s) {
  struct weir_http_exchange *ex = s->exchange;
  scrape_free(e, s);
  e->metrics->add(e->pages[1], 1);
  refuse(e, ex, 503, "no memory is left for this page; try again\n");
}

static void finish(struct exporter *e, struct scrape *s) {
  struct pieces *p = s->pieces;
  struct weir_http_header headers[2] = { { weir_str_of("content-type"), weir_str_of(s->wanted.content_type) }, { weir_str_of("content-encoding"), weir_str_of("gzip") } };
  struct weir_iov *iov = malloc((p->n + 1) * sizeof *iov);
  size_t bytes = 0;
  if (!iov) {
    give_up(e, s);
    return;
  }
  for (size_t i = 0; i < p->n; i++) {
    iov[i] = (struct weir_iov){ p->v[i]->p, p->v[i]->n };
    bytes += p->v[i]->n;
  }
  struct weir_http_reply reply = { .status = 200, .headers = headers, .n_headers = s->wanted.gzip ? 2u : 1u, .body = iov, .n_body = p->n, .release = pieces_free, .release_arg = p };
  s->pieces = NULL;
  e->http->reply(s->exchange, &reply);
  e->metrics->add(e->pages[0], 1);
  e->metrics->add(e->page_bytes, (int64_t)bytes);
  free(iov);
  scrape_free(e, s);
}

static int piece_give(struct exporter *e, struct scrape *s, struct weir_body **b) {
  int r = piece_add(s->pieces, *b);
  if (r) e->http->body_free(*b);
  *b = NULL;
  return r;
}

static int pack(struct exporter *e, struct scrape *s, int flush) {
  struct weir_body *from = s->page.body;
  int r = Z_OK;
  s->z.next_in = (Bytef *)from->p;
  s->z.avail_in = (uInt)from->n;
  while (s->z.avail_in || (flush == Z_FINISH && r != Z_STREAM_END)) {
    if (!s->packed && !(s->packed = e->http->body_new(e->stage, PACKED_BYTES))) return -1;
    s->z.next_out = (Bytef *)s->packed->p + s->packed->n;
    s->z.avail_out = (uInt)(s->packed->cap - s->packed->n);
    r = deflate(&s->z, flush);
    s->packed->n = s->packed->cap - s->z.avail_out;
    if (!s->z.avail_out && piece_give(e, s, &s->packed)) return -1;
  }
  from->n = 0;
  return flush == Z_FINISH && s->packed ? piece_give(e, s, &s->packed) : 0;
}

/* The piece as it goes out. 0, or no memory. */
static int flush(struct exporter *e, struct scrape *s, int is_last) {
  if (s->wanted.gzip) return pack(e, s, is_last ? Z_FINISH : Z_NO_FLUSH);
  return s->page.body->n ? piece_give(e, s, &s->page.body) : 0;
}

/* The next series that has not expired, its family begun; NULL at the end. */
static struct series *next_series(struct scrape *s, int64_t alive_ns) {
  for (; s->at < s->n_families; s->at++, s->is_open = 0) {
    if (!s->is_open && !s->series) s->series = s->families[s->at]->first;
    while (s->series && s->series->updated_ns < alive_ns) s->series = s->series->next;
    if (!s->series) continue;
    if (!s->is_open) page_family(&s->page, s->families[s->at]);
    s->is_open = 1;
    struct series *found = s->series;
    s->series = found->next;
    return found;
  }
  return NULL;
}

/* One piece. 1: the page is whole; -1: no memory. */
static int render(struct exporter *e, struct scrape *s) {
  int64_t alive_ns = e->host->now_mono_ns() - e->cfg->metric_expiration;
  struct series *next = NULL;
  if (!s->page.body && !(s->page.body = e->http->body_new(e->stage, PIECE_BYTES + SLACK_BYTES))) return -1;
  while (s->page.body->n < PIECE_BYTES && (next = next_series(s, alive_ns))) page_series(&s->page, next);
  if (!next) page_end(&s->page);
  if (s->page.failed || flush(e, s, !next)) return -1;
  return !next;
}

void scrape_step(void *arg) {
  struct exporter *e = arg;
  struct scrape *s = e->scrapes;
  if (!s) return;
  e->scrapes = s->next; /* they take turns */
  int r = render(e, s);
  if (r < 0) give_up(e, s);
  else if (r) finish(e, s);
  if (e->scrapes) e->timers->set(e->work, 0);
}

void scrape_leave(struct exporter *e, const struct series *gone) {
  struct scrape *s = e->scrapes;
  for (uint32_t i = 0; i < e->n_scrapes; i++, s = s->next)
    if (s->series == gone) s->series = gone->next;
}

/* --- requests -------------------------------------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
  const struct family *f = *(struct family *const *)a, *g = *(struct family *const *)b;
  int c = memcmp(f->text, g->text, f->n_name < g->n_name ? f->n_name : g->n_name);
  return c ? c : f->n_name < g->n_name ? -1 : 1;
}

static int list_families(const struct table *t, struct scrape *s) {
  s->families = malloc((t->n_families + 1) * sizeof *s->families);
  if (!s->families) return -1;
  for (size_t i = 0; i < t->cap_families; i++)
    for (struct family *f = t->families[i]; f; f = f->chain)
      if (f->first) s->families[s->n_families++] = f;
  qsort(s->families, s->n_families, sizeof *s->families, by_name);
  return 0;
}

static void join_ring(struct exporter *e, struct scrape *s) {
  s->next = e->scrapes ? e->scrapes : s;
  s->prev = e->scrapes ? e->scrapes->prev : s;
  s->next->prev = s;
  s->prev->next = s;
  e->scrapes = s;
  e->n_scrapes++;
}

static void on_request(void *self, struct weir_http_exchange *ex, const struct weir_http_request *req) {
  struct exporter *e = self;
  if (e->n_scrapes >= e->cfg->max_concurrent_scrapes) {
    e->metrics->add(e->pages[1], 1);
    refuse(e, ex, 503, "as many scrapes as max_concurrent_scrapes allows are under way; try again\n");
    return;
  }
  struct scrape *s = calloc(1, sizeof *s);
  struct pieces *p = calloc(1, sizeof *p);
  if (!s || !p || list_families(&e->table, s)) {
    free(s);
    free(p);
    refuse(e, ex, 503, "no memory is left for this page; try again\n");
    return;
  }
  p->http = e->http;
  s->pieces = p;
  s->exchange = ex;
  negotiate(req, e->cfg->enable_open_metrics, &s->wanted);
  if (s->wanted.gzip && deflateInit2(&s->z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) s->wanted.gzip = 0; /* 16: as gzip */
  s->page = (struct page){ .http = e->http, .table = &e->table, .format = s->wanted.format, .escaping = s->wanted.escaping, .timestamps = e->cfg->send_timestamps };
  join_ring(e, s);
  e->timers->set(e->work, 0);
}

static uint32_t answer_early(struct exporter *e, struct weir_http_reply *reply, uint32_t status, const char *text, const char *name, const char *value) {
  e->early.headers[0] = (struct weir_http_header){ weir_str_of("content-type"), weir_str_of("text/plain; charset=utf-8") };
  e->early.headers[1] = (struct weir_http_header){ weir_str_of(name), weir_str_of(value) };
  snprintf(e->early.text, sizeof e->early.text, "%.300s\n", text);
  e->early.body = (struct weir_iov){ e->early.text, strlen(e->early.text) };
  *reply = (struct weir_http_reply){ .headers = e->early.headers, .n_headers = *value ? 2 : 1, .body = &e->early.body, .n_body = 1 };
  return status;
}

static uint32_t on_headers(void *self, const struct weir_http_request *req, struct weir_http_reply *reply) {
  struct exporter *e = self;
  struct weir_auth_result result;
  uint32_t code = kit_gate_check(&e->gate, req->headers, req->n_headers, req->query, req->peer, &result);
  if (code == WEIR_AUTH_BUSY) return answer_early(e, reply, 503, result.msg, "retry-after", "1");
  if (code != WEIR_AUTH_OK) {
    snprintf(e->early.challenge, sizeof e->early.challenge, "%s", result.challenge ? result.challenge : "");
    return answer_early(e, reply, 401, result.msg, "www-authenticate", e->early.challenge);
  }
  if (!weir_str_eq(req->path, weir_str_of(e->cfg->path))) return answer_early(e, reply, 404, "404 page not found", "", "");
  if (!weir_str_eq(req->method, weir_str_of("GET")) && !weir_str_eq(req->method, weir_str_of("HEAD")))
    return answer_early(e, reply, 405, "405 method not allowed, supported: GET, HEAD", "allow", "GET, HEAD");
  return 0;
}

int scrape_check(const struct exporter *e, struct weir_error *err) {
  const struct prometheus_config *c = e->cfg;
  struct weir_http_server_config cfg = { .size = sizeof cfg, .owner = e->host->stage_id(e->stage), .endpoint = c->endpoint };
  struct weir_tls_config tls;
  int r = c->tls ? tls_settings_fill(c->tls, cfg.owner, &tls, err) : 0;
  if (c->tls) cfg.tls = &tls;
  if (!r) r = e->http->listen_check(e->stage, &cfg, err);
  if (r && !err->field[0]) snprintf(err->field, sizeof err->field, "endpoint");
  return r;
}

int scrape_listen(struct exporter *e, struct weir_error *err) {
  const struct prometheus_config *c = e->cfg;
  struct weir_http_server_config cfg = {
    .size = sizeof cfg,
    .flags = c->keep_alives_enabled ? 0 : WEIR_HTTP_NO_KEEP_ALIVE,
    .owner = e->host->stage_id(e->stage),
    .endpoint = c->endpoint,
    .max_body_bytes = 4096,
    .max_connections = (uint32_t)c->max_connections,
    .read_header_timeout_ns = c->read_header_timeout,
    .read_timeout_ns = c->read_timeout,
    .idle_timeout_ns = c->idle_timeout,
    .write_timeout_ns = c->write_timeout,
    .on_headers = on_headers,
    .on_request = on_request,
    .self = e,
  };
  struct weir_tls_config tls;
  struct kit_http_extra extra;
  int r = c->tls ? tls_settings_fill(c->tls, cfg.owner, &tls, err) : 0;
  if (c->tls) cfg.tls = &tls;
  if (r) return r;
  r = kit_http_extra_fill(&extra, c->cors, &c->response_headers, &cfg, err);
  if (!r) r = e->http->listen(e->stage, &cfg, &e->server, err);
  kit_http_extra_done(&extra);
  if (r && !err->field[0]) snprintf(err->field, sizeof err->field, "endpoint");
  if (!r) kit_cors_warn(c->cors, e->host, e->stage);
  if (!r) e->host->log(e->stage, WEIR_LOG_INFO, "metrics for Prometheus on http%s://%s%s", c->tls ? "s" : "", c->endpoint, c->path);
  return r;
}
