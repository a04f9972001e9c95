/* What a reader wants: Accept with qualities and `escaping`, Accept-Encoding. Sources: Prometheus "Content negotiation", RFC 9110 section 12.5. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "prometheus.h"

static struct weir_str trimmed(struct weir_str s) {
  while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s.p++, s.n--;
  while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
  return s;
}

/* The part before `end`, trimmed, without quotes; *rest is what follows. */
static struct weir_str part(struct weir_str *rest, char end) {
  const char *at = rest->n ? memchr(rest->p, end, rest->n) : NULL;
  struct weir_str s = { rest->p, at ? (uint32_t)(at - rest->p) : rest->n, 0 };
  rest->p += s.n + (at != NULL);
  rest->n -= s.n + (at != NULL);
  s = trimmed(s);
  if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') s.p++, s.n -= 2;
  return s;
}

static int is(struct weir_str s, const char *text) { return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0; }

/* Thousandths; what is no number counts as 1, as Go's parser takes it. */
static int quality(struct weir_str s) {
  char buf[8], *end;
  size_t n = s.n < sizeof buf - 1 ? s.n : sizeof buf - 1;
  memcpy(buf, s.p, n);
  buf[n] = 0;
  double q = strtod(buf, &end);
  return end == buf || !(q >= 0 && q <= 1) ? 1000 : (int)(q * 1000 + 0.5);
}

struct offer {
  int format, escaping, q;
  const char *version;
};

static int escaping_of(struct weir_str s) {
  static const char *const names[] = { "underscores", "dots", "values", "allow-utf-8" };
  for (int i = 0; i < 4; i++)
    if (is(s, names[i])) return i;
  return PROM_ESCAPE_UNDERSCORES;
}

/* One element of Accept. 0: nothing that is offered. */
static int offer_read(struct weir_str element, int openmetrics, struct offer *ret) {
  struct weir_str type = part(&element, ';'), version = { "", 0, 0 };
  *ret = (struct offer){ FORMAT_TEXT, PROM_ESCAPE_UNDERSCORES, 1000, "0.0.4" };
  while (element.n) {
    struct weir_str value = part(&element, ';'), name = part(&value, '=');
    value = part(&value, ';');
    if (is(name, "version")) version = value;
    else if (is(name, "q")) ret->q = quality(value);
    else if (is(name, "escaping")) ret->escaping = escaping_of(value);
  }
  if (is(type, "text/plain")) {
    if (is(version, "1.0.0")) ret->version = "1.0.0";
    return !version.n || is(version, "0.0.4") || is(version, "1.0.0");
  }
  if (!openmetrics || !is(type, "application/openmetrics-text")) return 0;
  ret->format = FORMAT_OPENMETRICS;
  ret->version = is(version, "1.0.0") ? "1.0.0" : "0.0.1";
  return !version.n || is(version, "0.0.1") || is(version, "1.0.0");
}

static int takes_gzip(const struct weir_http_request *req) {
  struct weir_str list = weir_http_find(req->headers, req->n_headers, "accept-encoding");
  int any = 0, gzip = -1;
  while (list.n) {
    struct weir_str element = part(&list, ','), name = part(&element, ';');
    int q = 1000;
    while (element.n) {
      struct weir_str value = part(&element, ';'), key = part(&value, '=');
      if (is(key, "q")) q = quality(trimmed(value));
    }
    if (is(name, "gzip") || is(name, "x-gzip")) gzip = q;
    else if (is(name, "*")) any = q;
  }
  return gzip >= 0 ? gzip > 0 : any > 0;
}

void negotiate(const struct weir_http_request *req, int openmetrics, struct wanted *ret) {
  static const char *const types[] = { "text/plain", "application/openmetrics-text" }, *const escapings[] = { "underscores", "dots", "values", "allow-utf-8" };
  struct weir_str list = weir_http_find(req->headers, req->n_headers, "accept");
  struct offer best = { FORMAT_TEXT, PROM_ESCAPE_UNDERSCORES, 0, "0.0.4" }, next;
  while (list.n) { /* the first of the highest quality, as Go's */
    struct weir_str element = part(&list, ',');
    if (element.n && offer_read(element, openmetrics, &next) && next.q > best.q) best = next;
  }
  ret->format = best.format;
  ret->escaping = best.escaping;
  ret->gzip = takes_gzip(req);
  snprintf(ret->content_type, sizeof ret->content_type, "%s; version=%s; charset=utf-8; escaping=%s", types[best.format], best.version, escapings[best.escaping]);
}
