/*
 * plugins/kit/otlp_http.h - an exporter that speaks OTLP over HTTP: what otlp_http, and back ends that take OTLP, share.
 *
 * On top of plugins/kit/http_export.h: bodies of export requests as protobuf or JSON, and the export responses and Statuses of the answers.
 * Everything is [lane] of the instance. Source: the OTLP specification, "OTLP/HTTP Response" and "Throttling".
 */
#ifndef KIT_OTLP_HTTP_H
#define KIT_OTLP_HTTP_H

#include <weir/otlp.h>

#include "plugins/kit/http_export.h"

struct otlp_http {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct weir_otlp_service *otlp;
  struct http_export *client;
  int json;                      /* the encoding of requests */
  uint64_t max_message_bytes;    /* a larger batch is given back to be cut, unless it is one item; 0 = no limit */
  http_export_answer_f *refusal; /* of the stage: reads a refusal further, text is "HTTP 400: what the peer says"; NULL = no more */
  void *self;                    /* for refusal; its `arg` is the batch */
};

/* host, stage, config, url, field and suffix of the setup are the caller's, as are json, max_message_bytes, refusal and self of *o; the rest is filled here. */
int otlp_http_open(struct otlp_http *, struct http_export_setup *, struct weir_error *);
/* Half-built and zero-filled ones are allowed. */
void otlp_http_close(struct otlp_http *);
/* One attempt: takes the batch and settles it with host->done. headers: as those of a http_export_request. */
void otlp_http_send(struct otlp_http *, struct weir_batch *, const struct weir_http_header *headers, size_t n_headers);
/* /v1/traces ... */
const char *otlp_http_path(uint32_t signal);

#endif
