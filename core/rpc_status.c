/* google.rpc.Status with RetryInfo, by protobuf-c: the messages are tiny, flat and off the hot path. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/otlp.h"
#include "core/utf8.h"
#include "proto/rpc_status.pb-c.h"

#define RETRY_INFO_URL "type.googleapis.com/google.rpc.RetryInfo"
#define STATUS_MAX 65536u /* a status is read up to here; the four messages nest 3 deep, so protobuf-c's missing depth limit does not matter */
#define TEXT_MAX 1024u
#define RETRY_MAX_S (30 * 24 * 3600LL)

size_t rpc_status_make(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap) {
  Weirpb__Status status = WEIRPB__STATUS__INIT;
  Weirpb__Any any = WEIRPB__ANY__INIT, *details = &any;
  Weirpb__RetryInfo info = WEIRPB__RETRY_INFO__INIT;
  Weirpb__Duration delay = WEIRPB__DURATION__INIT;
  uint8_t packed[64];
  char text[TEXT_MAX]; /* the message is a proto3 string: official parsers refuse the whole status for one bad byte */
  size_t msg_n = msg ? strlen(msg) : 0;
  status.has_code = 1;
  status.code = (int32_t)code;
  if (msg_n) {
    status.has_message = 1;
    status.message.data = (uint8_t *)text;
    status.message.len = utf8_repair(msg, msg_n, text, sizeof text);
  }
  if (retry_after_ns >= 0) {
    delay.has_seconds = delay.has_nanos = 1;
    delay.seconds = retry_after_ns / NS_PER_S;
    delay.nanos = (int32_t)(retry_after_ns % NS_PER_S);
    info.retry_delay = &delay;
    any.has_type_url = any.has_value = 1;
    any.type_url.data = (uint8_t *)(uintptr_t)RETRY_INFO_URL;
    any.type_url.len = sizeof RETRY_INFO_URL - 1;
    any.value.data = packed;
    any.value.len = weirpb__retry_info__pack(&info, packed);
    status.n_details = 1;
    status.details = &details;
  }
  size_t n = weirpb__status__get_packed_size(&status);
  if (n > cap && msg_n) { /* a text is cut before the code or the delay is */
    size_t over = n - cap, room = over < status.message.len ? status.message.len - over : 0;
    status.message.len = utf8_repair(msg, msg_n, text, room);
  }
  if (weirpb__status__get_packed_size(&status) > cap) return 0;
  return weirpb__status__pack(&status, (uint8_t *)buf);
}

static int64_t retry_delay_ns(const Weirpb__Any *any) {
  if (any->type_url.len != sizeof RETRY_INFO_URL - 1 || memcmp(any->type_url.data, RETRY_INFO_URL, sizeof RETRY_INFO_URL - 1) != 0) return -1;
  Weirpb__RetryInfo *info = weirpb__retry_info__unpack(NULL, any->value.len, any->value.data);
  if (!info) return -1;
  int64_t ns = 0;
  if (info->retry_delay) {
    int64_t s = info->retry_delay->seconds, nanos = info->retry_delay->nanos;
    if (s < 0 || nanos < 0 || nanos >= NS_PER_S) s = nanos = 0;
    ns = s > RETRY_MAX_S ? RETRY_MAX_S * NS_PER_S : s * NS_PER_S + nanos;
  }
  weirpb__retry_info__free_unpacked(info, NULL);
  return ns;
}

int rpc_status_parse(const char *p, size_t n, struct weir_rpc_status *ret) {
  memset(ret, 0, sizeof *ret);
  ret->retry_after_ns = -1;
  if (n > STATUS_MAX) return WEIR_E_LIMIT;
  Weirpb__Status *status = weirpb__status__unpack(NULL, n, (const uint8_t *)p);
  if (!status) return WEIR_E_INVALID;
  ret->code = (uint32_t)status->code;
  size_t len = status->message.len < sizeof ret->msg - 1 ? status->message.len : sizeof ret->msg - 1;
  if (len) memcpy(ret->msg, status->message.data, len);
  ret->msg[len] = 0;
  for (size_t i = 0; i < status->n_details && ret->retry_after_ns < 0; i++) ret->retry_after_ns = retry_delay_ns(status->details[i]);
  weirpb__status__free_unpacked(status, NULL);
  return 0;
}
