#include "pipelines/disk_context.h"

#include <string.h>

#define VERSION 1
#define HAS_REASON 1u
#define HAS_CONTEXT 2u
#define TEXT_MAX 65535u

/* --- out ------------------------------------------------------------------------------------------------------ */

static size_t text_size(const struct weir_str *s) { return s->n > TEXT_MAX ? SPOOL_CONTEXT_MAX + 1u : 2u + (size_t)s->n; }

static size_t pairs_size(const struct weir_pair *v, uint32_t n) {
  size_t size = 0;
  for (uint32_t i = 0; i < n; i++) size += text_size(&v[i].name) + text_size(&v[i].value);
  return size;
}

size_t disk_context_size(const struct weir_str *reason, const struct weir_str *message, const struct weir_context *c) {
  if (!reason && !c) return 0;
  size_t n = 2;
  if (reason) n += text_size(reason) + text_size(message);
  if (c) n += 4 + pairs_size(c->metadata, c->n_metadata) + pairs_size(c->auth, c->n_auth) + text_size(&c->peer);
  return n;
}

static char *put_number(char *to, uint32_t n) {
  *to++ = (char)(n & 255u);
  *to++ = (char)(n >> 8 & 255u);
  return to;
}

static char *put_text(char *to, const struct weir_str *s) {
  to = put_number(to, s->n);
  if (s->n) memcpy(to, s->p, s->n);
  return to + s->n;
}

static char *put_pairs(char *to, const struct weir_pair *v, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    to = put_text(to, &v[i].name);
    to = put_text(to, &v[i].value);
  }
  return to;
}

void disk_context_write(const struct weir_str *reason, const struct weir_str *message, const struct weir_context *c, char *to) {
  if (!reason && !c) return;
  *to++ = VERSION;
  *to++ = (char)((reason ? HAS_REASON : 0u) | (c ? HAS_CONTEXT : 0u));
  if (reason) {
    to = put_text(to, reason);
    to = put_text(to, message);
  }
  if (!c) return;
  to = put_number(to, c->n_metadata);
  to = put_number(to, c->n_auth);
  to = put_pairs(to, c->metadata, c->n_metadata);
  to = put_pairs(to, c->auth, c->n_auth);
  put_text(to, &c->peer);
}

/* --- in --------------------------------------------------------------------------------------------------------- */

struct reader {
  const unsigned char *p, *end;
  int bad;
};

static uint32_t take_number(struct reader *r) {
  if (r->end - r->p < 2) r->bad = 1;
  if (r->bad) return 0;
  uint32_t n = r->p[0] | (uint32_t)r->p[1] << 8;
  r->p += 2;
  return n;
}

static struct weir_str take_text(struct reader *r) {
  uint32_t n = take_number(r);
  if ((size_t)(r->end - r->p) < n) r->bad = 1;
  if (r->bad) return (struct weir_str){ "", 0, 0 };
  struct weir_str s = { (const char *)r->p, n, 0 };
  r->p += n;
  return s;
}

static void take_pairs(struct reader *r, struct weir_pair *v, uint32_t n) {
  for (uint32_t i = 0; i < n && !r->bad; i++) {
    v[i].name = take_text(r);
    v[i].value = take_text(r);
  }
}

static void take_context(struct reader *r, struct disk_context *ret) {
  struct weir_context *c = &ret->what;
  c->size = sizeof *c;
  c->n_metadata = take_number(r);
  c->n_auth = take_number(r);
  if (c->n_metadata + c->n_auth > WEIR_CONTEXT_MAX_PAIRS) r->bad = 1;
  if (r->bad) return;
  c->metadata = ret->pairs;
  c->auth = ret->pairs + c->n_metadata;
  take_pairs(r, ret->pairs, c->n_metadata + c->n_auth);
  c->peer = take_text(r);
  ret->context = c;
}

int disk_context_read(const char *p, size_t n, struct disk_context *ret) {
  struct reader r = { (const unsigned char *)p, (const unsigned char *)p + n, 0 };
  ret->reason = ret->message = (struct weir_str){ NULL, 0, 0 };
  ret->context = NULL;
  ret->what = (struct weir_context){ 0 };
  if (n == 0) return 0;
  if (n < 2 || r.p[0] != VERSION || r.p[1] & ~(HAS_REASON | HAS_CONTEXT)) return WEIR_E_INVALID;
  uint32_t flags = r.p[1];
  r.p += 2;
  if (flags & HAS_REASON) {
    ret->reason = take_text(&r);
    ret->message = take_text(&r);
  }
  if (flags & HAS_CONTEXT) take_context(&r, ret);
  return r.bad || r.p != r.end ? WEIR_E_INVALID : 0;
}
