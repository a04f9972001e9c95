/*
 * weir/otlp.h - service "weir.otlp/1": between OTLP messages and batches, and the small messages around them.
 *
 * Rules: opentelemetry-proto docs/specification.md (OTLP 1.x) and its trace, metrics, logs services. Everything is [lane].
 */
#ifndef WEIR_OTLP_H
#define WEIR_OTLP_H

#include <weir/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_OTLP_SERVICE "weir.otlp/1"

#define WEIR_VALIDATE_FULL 0     /* every message checked: structure, depth 100, counts */
#define WEIR_VALIDATE_ENVELOPE 1 /* records counted; what is inside them is left to the next hop */

/* What an export response says. */
struct weir_otlp_response {
  uint64_t rejected; /* rejected_spans / _data_points / _log_records */
  struct weir_str message; /* points into the parsed bytes */
};

/* google.rpc.Status as far as OTLP uses it. */
struct weir_rpc_status {
  uint32_t code;
  uint32_t reserved;
  int64_t retry_after_ns; /* -1 = no RetryInfo */
  char msg[512];
};

struct weir_otlp_service {
  uint32_t size, reserved;
  /* Checks an ExportXServiceRequest that stands at p..p+n inside `body` and makes a batch of it, decoded when something
   * below this receiver needs records. Takes body, also on failure. WEIR_E_INVALID: err->offset says at which byte. */
  int (*decode)(struct weir_stage *, uint32_t signal, struct weir_body *body, const char *p, size_t n, int validation,
    struct weir_batch **ret, struct weir_error *);
  /* The batch as one ExportXServiceRequest in pieces. The array and what it points at live as long as the batch is not
   * changed or given away. Clean parts are not copied. */
  int (*encode)(struct weir_batch *, const struct weir_iov **ret_iov, size_t *ret_n, size_t *ret_bytes, struct weir_error *);
  /* An ExportXServiceResponse: empty for rejected == 0 and msg == NULL. Returns the length, at most cap. */
  size_t (*response_make)(uint64_t rejected, const char *msg, char *buf, size_t cap);
  int (*response_parse)(const char *p, size_t n, struct weir_otlp_response *ret);
  /* google.rpc.Status for HTTP error bodies. retry_after_ns < 0: no RetryInfo. Returns the length, at most cap. */
  size_t (*status_make)(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap);
  int (*status_parse)(const char *p, size_t n, struct weir_rpc_status *ret);

  /* The same in OTLP/JSON. decode_json always checks in full; what it makes is as if it had come as protobuf. Errors as decode. */
  int (*decode_json)(struct weir_stage *, uint32_t signal, struct weir_body *body, const char *p, size_t n, struct weir_batch **ret, struct weir_error *);
  /* The batch as one JSON document on one line, in a body of its own: the caller frees it (weir.http/1 body_free). The stage needs records (WEIR_NEED_RECORDS).
   * Invalid UTF-8 becomes U+FFFD; unknown fields are left out. */
  int (*encode_json)(struct weir_stage *, struct weir_batch *, struct weir_body **ret, struct weir_error *);
  size_t (*response_json_make)(uint32_t signal, uint64_t rejected, const char *msg, char *buf, size_t cap);
  /* ret->message points into buf, where it is cut at cap. */
  int (*response_json_parse)(const char *p, size_t n, struct weir_otlp_response *ret, char *buf, size_t cap);
  size_t (*status_json_make)(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap);
  int (*status_json_parse)(const char *p, size_t n, struct weir_rpc_status *ret);
};

#ifdef __cplusplus
}
#endif
#endif
