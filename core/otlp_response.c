/* ExportXServiceResponse: the same two fields for each signal (partial_success = 1 {rejected = 1, error_message = 2}). */
#include "core/otlp.h"
#include "core/utf8.h"
#include "core/wire.h"

#define RESPONSE_TEXT_MAX 1024

size_t otlp_response_make(uint64_t rejected, const char *msg, char *buf, size_t cap) {
  char text[RESPONSE_TEXT_MAX];
  if (rejected == 0 && (!msg || !*msg)) return 0; /* full success: partial_success must be unset */
  if (cap < 40) return 0;
  size_t room = cap - 40 < sizeof text ? cap - 40 : sizeof text;
  size_t msg_n = msg ? utf8_repair(msg, strlen(msg), text, room) : 0; /* a proto3 string: official parsers refuse the whole answer for one bad byte */
  size_t inner = (rejected ? 1 + wire_varint_size(rejected) : 0) + (msg_n ? 1 + wire_varint_size(msg_n) + msg_n : 0);
  char *p = buf;
  *p++ = 1 << 3 | WIRE_LEN;
  p = wire_put_varint(p, inner);
  if (rejected) {
    *p++ = 1 << 3 | WIRE_VARINT;
    p = wire_put_varint(p, rejected);
  }
  if (msg_n) {
    *p++ = 2 << 3 | WIRE_LEN;
    p = wire_put_varint(p, msg_n);
    memcpy(p, text, msg_n);
    p += msg_n;
  }
  return (size_t)(p - buf);
}

static int parse_partial(const char *p, const char *end, struct weir_otlp_response *ret) {
  struct wire_field f;
  while (p < end) {
    if (!(p = wire_next(p, end, &f))) return WEIR_E_INVALID;
    if (f.number == 1 && f.type == WIRE_VARINT) ret->rejected = f.v;
    if (f.number == 2 && f.type == WIRE_LEN) {
      ret->message.p = f.p;
      ret->message.n = (uint32_t)f.v;
    }
  }
  return 0;
}

int otlp_response_parse(const char *p, size_t n, struct weir_otlp_response *ret) {
  const char *end = p + n;
  struct wire_field f;
  memset(ret, 0, sizeof *ret);
  if (n > INT32_MAX) return WEIR_E_LIMIT;
  while (p < end) {
    if (!(p = wire_next(p, end, &f))) return WEIR_E_INVALID;
    if (f.number == 1 && f.type == WIRE_LEN && parse_partial(f.p, f.p + f.v, ret)) return WEIR_E_INVALID;
  }
  if (ret->rejected > INT64_MAX) ret->rejected = 0; /* a negative count says nothing */
  return 0;
}
