/* Calls of the HTTP client: made, waiting for a connection, growing a response, over. Connections are in http_client.c. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_call.h"

/* --- life ------------------------------------------------------------------------------------------------ */

static void call_unlink(struct weir_http_call *call) {
  struct http_link *l = call->link;
  if (!l) return;
  if (call->prev) call->prev->next = call->next;
  else l->calls = call->next;
  if (call->next) call->next->prev = call->prev;
  call->next = call->prev = NULL;
  call->link = NULL;
  l->n_calls--;
}

static void call_free(struct weir_http_call *call) {
  struct weir_http_client *cl = call->client;
  timer_cancel(cl->loop, &call->deadline);
  free(call->method);
  free(call->path);
  free(call->authority);
  free(call->header_text);
  free(call->headers);
  free(call->body);
  free(call->text);
  body_free(call->reply);
  call->magic = 0;
  free(call);
  cl->n_calls--;
  client_maybe_free(cl);
}

static void deliver(void *arg) {
  struct weir_http_call *call = arg;
  CHECK_MAGIC(call, CALL_MAGIC);
  struct weir_http_header headers[CALL_MAX_HEADERS];
  const char *text = call->text ? call->text : "";
  for (size_t i = 0; i < call->n_at; i++) {
    headers[i].name = (struct weir_str){ text + call->at[2 * i].at, call->at[2 * i].n, 0 };
    headers[i].value = (struct weir_str){ text + call->at[2 * i + 1].at, call->at[2 * i + 1].n, 0 };
  }
  size_t first = call->in_trailers ? call->n_first : call->n_at;
  struct weir_http_response r = { sizeof r, call->err.code && !call->cut ? 0 : call->status, headers, first, headers + first, call->n_at - first, call->reply,
    call->sent, call->timed_out, call->err.code ? &call->err : NULL };
  call->on_response(call->arg, &r);
  call_free(call);
}

void call_over(struct weir_http_call *call) {
  if (call->over) return;
  call->over = 1;
  timer_cancel(call->client->loop, &call->deadline);
  call_unlink(call);
  loop_defer(call->client->loop, &call->deliver);
}

void call_done(struct weir_http_call *call) { call_over(call); }

void call_fail(struct weir_http_call *call, int code, const char *fmt, ...) {
  if (call->over) return;
  va_list ap;
  char text[400];
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  weir_fail(&call->err, code, "%s: %s", call->client->endpoint, text);
  call_over(call);
}

static void wait_in_line(struct weir_http_call *call) {
  struct weir_http_client *cl = call->client;
  call->next = NULL;
  *cl->waiting_tail = call;
  cl->waiting_tail = &call->next;
  loop_defer(cl->loop, &cl->work);
}

void call_leave_line(struct weir_http_call *call) {
  struct weir_http_client *cl = call->client;
  for (struct weir_http_call **at = &cl->waiting; *at; at = &(*at)->next)
    if (*at == call) {
      *at = call->next;
      if (!*at) cl->waiting_tail = at;
      break;
    }
  call->next = NULL;
}

void call_forget_headers(struct weir_http_call *call) {
  call->n_at = call->n_first = call->text_n = 0;
  call->status = 0;
  call->in_trailers = 0;
}

void call_again(struct weir_http_call *call, const char *why) {
  if (call->over) return;
  if (call->retried || call->client->closed) {
    call_fail(call, WEIR_E_IO, "%s", why);
    return;
  }
  call->retried = 1;
  call->sent = call->not_sent = 0;
  call->iov_at = call->iov_off = 0;
  call_forget_headers(call);
  body_free(call->reply); /* a peer may have begun to answer what it then refuses */
  call->reply = NULL;
  call_unlink(call);
  wait_in_line(call);
}

static uint32_t add_text(struct weir_http_call *call, const char *p, size_t n) {
  if (call->text_cap - call->text_n < n) {
    size_t cap = call->text_cap ? call->text_cap * 2 : 512;
    while (cap - call->text_n < n) cap *= 2;
    call->text = realloc(call->text, cap);
    WEIR_ASSERT(call->text != NULL);
    call->text_cap = cap;
  }
  if (n) memcpy(call->text + call->text_n, p, n);
  call->text_n += n;
  return (uint32_t)(call->text_n - n);
}

static int headers_over(struct weir_http_call *call, size_t more) {
  if (call->n_at <= CALL_MAX_HEADERS && call->text_n + more <= CALL_MAX_HEADER_TEXT) return 0;
  call_fail(call, WEIR_E_LIMIT, "the response has more than %u header lines or %u bytes of them", CALL_MAX_HEADERS, CALL_MAX_HEADER_TEXT);
  return 1;
}

int call_header(struct weir_http_call *call, const char *name, size_t name_n, const char *value, size_t value_n) {
  call->n_at++;
  if (headers_over(call, name_n + value_n)) {
    call->n_at--;
    return 1;
  }
  call->at[2 * call->n_at - 2] = (struct text_at){ add_text(call, name, name_n), (uint32_t)name_n };
  call->at[2 * call->n_at - 1] = (struct text_at){ add_text(call, value, value_n), (uint32_t)value_n };
  return 0;
}

int call_header_more(struct weir_http_call *call, int is_value, const char *p, size_t n) {
  struct text_at *name = &call->at[2 * call->n_at - 2], *value = name + 1;
  WEIR_ASSERT(call->n_at > 0 && (is_value || value->n == 0)); /* the value follows its name, both are the last in text */
  if (headers_over(call, n)) return 1;
  add_text(call, p, n);
  if (is_value) value->n += (uint32_t)n;
  else name->n += (uint32_t)n;
  if (!is_value) value->at = (uint32_t)call->text_n;
  return 0;
}

int call_body(struct weir_http_call *call, const char *p, size_t n) {
  uint64_t max = call->client->cfg.max_response_bytes, have = call->reply ? call->reply->n : 0;
  int over = n > max - have;
  size_t wanted = over ? (size_t)(max - have) : n;
  if (!call->reply) call->reply = body_overdraw(call->client->loop->pool, wanted);
  WEIR_ASSERT(body_append(&call->reply, p, wanted) == 0);
  if (!over) return 0;
  call->cut = 1;
  call_fail(call, WEIR_E_LIMIT, "the response body is longer than the %llu bytes that are read", (unsigned long long)max);
  return 1;
}

static void on_deadline(void *arg) {
  struct weir_http_call *call = arg;
  struct http_link *l = call->link;
  call->timed_out = 1;
  if (!l) {
    call_leave_line(call);
    const char *why = call->client->why; /* begins with the endpoint, as call_fail does */
    size_t skip = strlen(call->client->endpoint) + 2;
    call_fail(call, WEIR_E_IO, "no connection in time%s%s", strlen(why) > skip ? ": " : "", strlen(why) > skip ? why + skip : "");
    return;
  }
  int h2 = l->state == LINK_READY && l->h2 != NULL;
  if (h2) http2_cancel(l, call);
  call_fail(call, WEIR_E_IO, "no answer in time");
  if (!h2) {
    link_close(l, "a call on it timed out");
    return;
  }
  if (l->heard_ns < call->begun_ns) l->retiring = l->client->renew = 1; /* not a word since: the peer may be gone, which TCP takes a quarter of an hour to notice */
  link_idle(l);
}

static char *copy_text(const char *s) {
  char *c = strdup(s);
  WEIR_ASSERT(c != NULL);
  return c;
}

/* Names in lower case, as HTTP/2 wants them. 0 when a name is no token, or a value could end its line. */
static int clean_header(char *name, size_t n, const char *value, size_t value_n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char ch = (unsigned char)name[i];
    if (ch <= ' ' || ch >= 127 || strchr("\"(),/:;<=>?@[\\]{}", ch)) return 0;
    name[i] = (char)tolower(ch);
  }
  for (size_t i = 0; i < value_n; i++)
    if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 127) return 0;
  return n > 0;
}

/* 0, or -1 when one is refused. */
static int copy_headers(struct weir_http_call *call, const struct weir_http_call_config *cfg) {
  size_t text = 0;
  int r = 0;
  for (size_t i = 0; i < cfg->n_headers; i++) text += cfg->headers[i].name.n + cfg->headers[i].value.n;
  call->headers = calloc(cfg->n_headers + 1, sizeof *call->headers);
  char *at = call->header_text = malloc(text + 1);
  WEIR_ASSERT(call->headers && at);
  for (size_t i = 0; i < cfg->n_headers; i++) {
    struct weir_http_header h = cfg->headers[i];
    memcpy(at, h.name.p, h.name.n);
    if (!clean_header(at, h.name.n, h.value.p, h.value.n)) r = -1;
    h.name.p = at;
    at += h.name.n;
    if (h.value.n) memcpy(at, h.value.p, h.value.n);
    h.value.p = at;
    at += h.value.n;
    call->headers[call->n_headers++] = h;
  }
  return r;
}

void http_call(struct weir_http_client *cl, const struct weir_http_call_config *cfg) {
  CHECK_MAGIC(cl, CLIENT_MAGIC);
  struct weir_http_call *call = calloc(1, sizeof *call);
  WEIR_ASSERT(call != NULL);
  call->magic = CALL_MAGIC;
  call->client = cl;
  cl->n_calls++;
  call->method = copy_text(cfg->method);
  call->path = copy_text(cfg->path);
  call->authority = copy_text(cfg->authority ? cfg->authority : cl->authority);
  int bad_header = copy_headers(call, cfg);
  call->body = malloc((cfg->n_body + 1) * sizeof *call->body);
  WEIR_ASSERT(call->body != NULL);
  for (size_t i = 0; i < cfg->n_body; i++) {
    if (!cfg->body[i].n) continue;
    call->body[call->n_body++] = cfg->body[i];
    call->body_bytes += cfg->body[i].n;
  }
  call->on_response = cfg->on_response;
  call->arg = cfg->arg;
  call->deliver.fn = deliver;
  call->deliver.arg = call;
  call->deadline.fn = on_deadline;
  call->deadline.arg = call;
  if (cl->closed) {
    call_fail(call, WEIR_E_IO, "the client is closed");
    return;
  }
  if (bad_header) {
    call_fail(call, WEIR_E_IO, "a request header has an empty name, or characters that are not allowed in a header");
    return;
  }
  if (cfg->deadline_ns) timer_set(cl->loop, &call->deadline, cfg->deadline_ns - clock_mono_ns());
  wait_in_line(call);
}
