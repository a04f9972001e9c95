/*
 * core/grpc_status.h - the text forms that travel in gRPC headers: status, message, details, time-out.
 *
 * Source: "gRPC over HTTP2" (Status-Message percent encoding, Timeout, Binary-Header base64) and "HTTP to gRPC status code
 * mapping". Everything parsed here is from a peer: a broken message or detail never hides the status itself. Pure; [any].
 */
#ifndef CORE_GRPC_STATUS_H
#define CORE_GRPC_STATUS_H

#include <weir/grpc.h>

#define GRPC_MSG_MAX 1024u     /* bytes of a status message that are sent or kept */
#define GRPC_DETAILS_MAX 1536u /* bytes of a google.rpc.Status that are sent or read, before base64 */
#define GRPC_TIMEOUT_CAP 16u   /* room for a formatted grpc-timeout */

/* "0".."16"; a code out of range is UNKNOWN. A literal. */
struct weir_str grpc_code_text(uint32_t code);
const char *grpc_code_name(uint32_t code); /* "UNAVAILABLE" */
/* Decimal, at most two digits. Anything else, and a number that is no code, is UNKNOWN, as the specification wants. */
uint32_t grpc_code_parse(struct weir_str);
/* For an answer without grpc-status. */
uint32_t grpc_code_of_http(uint32_t http_status);

/* Percent-encodes what is not printable ASCII, and '%'. At most GRPC_MSG_MAX bytes of msg; never cuts a UTF-8 sequence. Returns the
 * length, at most cap; cap of 3 * GRPC_MSG_MAX always suffices. */
size_t grpc_msg_encode(const char *msg, char *buf, size_t cap);
/* Decodes into buf, NUL-terminated, cut to cap. Broken %-sequences stay as they are; a decoded NUL becomes a space. */
void grpc_msg_decode(struct weir_str, char *buf, size_t cap);

/* 1 to 8 digits and a unit (H M S m u n). 0, or WEIR_E_INVALID; saturates at INT64_MAX. */
int grpc_timeout_parse(struct weir_str, int64_t *ret_ns);
/* Rounds up to whole milliseconds from 100 ms on, so that calls with the same timeout say the same (one HPACK entry). */
size_t grpc_timeout_format(int64_t ns, char buf[GRPC_TIMEOUT_CAP]);

/* grpc-status-details-bin: base64 (no padding) of google.rpc.Status with RetryInfo. Returns the length, 0 when it does not fit. */
size_t grpc_details_make(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap);
/* The delay that the details ask for, or -1 when there is none or the value is broken. */
int64_t grpc_details_retry_after(struct weir_str value);

/* Base64 of RFC 4648 section 4. decode takes it with and without padding; 0 or WEIR_E_INVALID (alphabet, length, cap). */
size_t grpc_base64_encode(const char *p, size_t n, char *buf, size_t cap);
int grpc_base64_decode(struct weir_str, char *buf, size_t cap, size_t *ret_n);

#endif
