/* The small JSON messages around an export: ExportXServiceResponse and google.rpc.Status with RetryInfo. */
#include <inttypes.h>
#include <stdio.h>

#include "core/clock.h"
#include "core/otlp_json.h"
#include "core/otlp_json_text.h"

#define DEPTH 20u /* of what is skipped in an answer */
#define RETRY_INFO_URL "type.googleapis.com/google.rpc.RetryInfo"
#define RETRY_MAX_S (30 * 24 * 3600ULL)

/* --- writing -------------------------------------------------------------------------------------------------------------- */

/* msg quoted into out..end, cut (between characters) so that it fits. */
static char *put_cut(char *out, const char *end, const char *msg) {
  size_t n = strlen(msg), room = (size_t)(end - out);
  if (room < 2) return out;
  if (n > (room - 2) / 6) n = (room - 2) / 6;
  while (n && ((unsigned char)msg[n] & 0xc0) == 0x80) n--;
  return json_quote(out, msg, n);
}

size_t otlp_json_response_make(uint32_t signal, uint64_t rejected, const char *msg, char *buf, size_t cap) {
  static const char closing[] = "}}";
  const char *name = signal == WEIR_TRACES ? "rejectedSpans" : signal == WEIR_METRICS ? "rejectedDataPoints" : "rejectedLogRecords";
  if (cap < 120) return 0;
  if (!rejected && !(msg && *msg)) return (size_t)snprintf(buf, cap, "{}"); /* full success: partialSuccess must be unset */
  char *p = buf + snprintf(buf, cap, "{\"partialSuccess\":{");
  if (rejected) p += snprintf(p, 60, "\"%s\":\"%" PRIu64 "\"", name, rejected);
  if (msg && *msg) {
    p += snprintf(p, 20, "%s\"errorMessage\":", rejected ? "," : "");
    p = put_cut(p, buf + cap - 2, msg);
  }
  memcpy(p, closing, 2);
  return (size_t)(p + 2 - buf);
}

size_t otlp_json_status_make(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap) {
  char details[160] = "";
  if (retry_after_ns >= 0)
    snprintf(details, sizeof details, ",\"details\":[{\"@type\":\"" RETRY_INFO_URL "\",\"retryDelay\":\"%lld.%09llds\"}]", (long long)(retry_after_ns / NS_PER_S),
      (long long)(retry_after_ns % NS_PER_S));
  size_t n_details = strlen(details);
  if (cap < n_details + 60) return 0;
  char *p = buf + snprintf(buf, cap, "{\"code\":%u,\"message\":", code);
  p = put_cut(p, buf + cap - n_details - 1, msg ? msg : "");
  memcpy(p, details, n_details);
  p += n_details;
  *p++ = '}';
  return (size_t)(p - buf);
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

/* Calls fn for each member of the object; fn reads the value, or leaves it where it stands and returns 1: it is then skipped. */
typedef int member_f(struct json_in *in, const char *name, void *arg);

static int each_member(struct json_in *in, member_f *fn, void *arg) {
  if (json_expect(in, '{', "expected {")) return -1;
  int more = !json_is(in, '}');
  while (more > 0) {
    struct json_token key;
    char name[64];
    json_space(in);
    if (json_string(in, &key) || json_expect(in, ':', "expected :")) return -1;
    size_t n = key.n < sizeof name ? json_unescape(&key, name) : 0;
    name[n] = 0;
    json_space(in);
    int r = json_literal(in, "null") ? 0 : fn(in, name, arg);
    if (r < 0 || (r > 0 && json_skip(in, DEPTH)) || (more = json_more(in, '}')) < 0) return -1;
  }
  return 0;
}

/* A string, unescaped into buf and cut at cap - 1. */
static int read_text(struct json_in *in, char *buf, size_t cap) {
  struct json_token t;
  if (json_string(in, &t)) return -1;
  while (t.n >= cap) { /* never between the bytes of an escape or a character */
    size_t half = cap - 1;
    const char *back = t.escaped ? memchr(t.p, '\\', half) : NULL;
    if (back) half = (size_t)(back - t.p);
    while (half && ((unsigned char)t.p[half] & 0xc0) == 0x80) half--;
    t.n = half;
    t.escaped = 0;
  }
  buf[json_unescape(&t, buf)] = 0;
  return 0;
}

static int read_uint(struct json_in *in, uint64_t *ret) {
  struct json_token t;
  int quoted = in->p < in->end && *in->p == '"', negative;
  if (quoted) in->p++;
  if (json_number(in, &t)) return -1;
  if (quoted && (in->p >= in->end || *in->p++ != '"')) return json_fail(in, in->p, "expected the closing quote");
  if (json_integer(&t, &negative, ret) || negative) *ret = 0; /* a count that is none says nothing */
  return 0;
}

struct response {
  struct weir_otlp_response *to;
  char *buf;
  size_t cap;
};

static int partial_member(struct json_in *in, const char *name, void *arg) {
  struct response *r = arg;
  if (!strcmp(name, "rejectedSpans") || !strcmp(name, "rejectedDataPoints") || !strcmp(name, "rejectedLogRecords")) return read_uint(in, &r->to->rejected);
  if (strcmp(name, "errorMessage") != 0) return 1;
  if (read_text(in, r->buf, r->cap)) return -1;
  r->to->message = weir_str_of(r->buf);
  return 0;
}

static int response_member(struct json_in *in, const char *name, void *arg) {
  return strcmp(name, "partialSuccess") == 0 ? each_member(in, partial_member, arg) : 1;
}

int otlp_json_response_parse(const char *p, size_t n, struct weir_otlp_response *ret, char *buf, size_t cap) {
  struct json_in in = { p, p + n, NULL, NULL };
  struct response r = { ret, buf, cap };
  memset(ret, 0, sizeof *ret);
  if (!n) return 0;
  if (each_member(&in, response_member, &r) || json_end(&in)) return WEIR_E_INVALID;
  if (ret->rejected > INT64_MAX) ret->rejected = 0;
  return 0;
}

/* google.protobuf.Duration: "1.500s". */
static int64_t duration_ns(const char *text) {
  uint64_t s = 0, ns = 0, unit = NS_PER_S;
  const char *p = text;
  for (; *p >= '0' && *p <= '9'; p++) s = s > RETRY_MAX_S ? s : s * 10 + (uint64_t)(*p - '0');
  if (p == text) return -1;
  if (*p == '.')
    for (p++; *p >= '0' && *p <= '9'; p++) ns += (uint64_t)(*p - '0') * (unit /= 10);
  if (strcmp(p, "s") != 0) return -1;
  return (int64_t)(s > RETRY_MAX_S ? RETRY_MAX_S * NS_PER_S : s * NS_PER_S + ns);
}

struct detail {
  char type[64], delay[64];
};

static int detail_member(struct json_in *in, const char *name, void *arg) {
  struct detail *d = arg;
  if (in->p >= in->end || *in->p != '"') return 1;
  if (strcmp(name, "@type") == 0) return read_text(in, d->type, sizeof d->type);
  return strcmp(name, "retryDelay") == 0 ? read_text(in, d->delay, sizeof d->delay) : 1;
}

static int read_details(struct json_in *in, struct weir_rpc_status *ret) {
  if (json_expect(in, '[', "expected [")) return -1;
  int more = !json_is(in, ']');
  while (more > 0) {
    struct detail d = { "", "" };
    if (each_member(in, detail_member, &d)) return -1;
    if (strcmp(d.type, RETRY_INFO_URL) == 0 && ret->retry_after_ns < 0) ret->retry_after_ns = duration_ns(d.delay);
    more = json_more(in, ']');
  }
  return more;
}

static int status_member(struct json_in *in, const char *name, void *arg) {
  struct weir_rpc_status *ret = arg;
  uint64_t code = 0;
  if (strcmp(name, "message") == 0) return read_text(in, ret->msg, sizeof ret->msg);
  if (strcmp(name, "details") == 0) return read_details(in, ret);
  if (strcmp(name, "code") != 0) return 1;
  int r = read_uint(in, &code);
  ret->code = (uint32_t)code;
  return r;
}

int otlp_json_status_parse(const char *p, size_t n, struct weir_rpc_status *ret) {
  struct json_in in = { p, p + n, NULL, NULL };
  memset(ret, 0, sizeof *ret);
  ret->retry_after_ns = -1;
  return each_member(&in, status_member, ret) || json_end(&in) ? WEIR_E_INVALID : 0;
}
