/*
 * exporters/loki/loki.h - the parts of the loki exporter: labels, the push body, Loki's refusals.
 *
 * Everything is [lane] of the instance; the push encoder keeps its buffers from one batch to the next.
 * Source: Loki's push.proto, HTTP API and pkg/loghttp/push/otlp.go (v3.7), whose mapping of OTLP this one follows; docs/design/loki.md.
 */
#ifndef EXPORTERS_LOKI_H
#define EXPORTERS_LOKI_H

#include <weir/config.h>
#include <weir/http.h>
#include <weir/stage.h>

#include "plugins/kit/bytes.h"

/* --- labels.c: names, and which attributes become labels -------------------------------------------------------------------- */

#define LOKI_LABELS_MAX 64u        /* of `labels.max` */
#define LOKI_LABEL_NAME_MAX 1024u  /* Loki's limits (max_label_name_length, max_label_value_length): what is longer is structured metadata */
#define LOKI_LABEL_VALUE_MAX 2048u

struct loki_labels_config {
  struct weir_strings resource, record;
  struct weir_map fixed;
  uint64_t max;
};

/* Labels of one stream; the bytes stand in `text`. */
struct loki_label {
  uint32_t name, name_n, value, value_n;
};

struct loki_labels {
  const struct loki_labels_config *config;
  struct kit_bytes text;
  struct loki_label v[LOKI_LABELS_MAX];
  size_t n;
};

/* Appends the name of an attribute as Loki has it: letters, digits and single underscores. prefix (a place and a length in *b): the name of the mapping
 * that the attribute stands in; prefix_n = 0: it stands in none. */
void loki_put_name(struct kit_bytes *b, size_t prefix, size_t prefix_n, struct weir_str key);
/* Checks the rules. */
int loki_labels_check(const struct loki_labels_config *, struct weir_error *);
/* Starts with the fixed labels. */
void loki_labels_begin(struct loki_labels *);
/* Takes the attributes of a record that the rules name, in the rules' order, as long as there is room; ret_taken[i] are those, *ret_n of them
 * (LOKI_LABELS_MAX fit). Attributes with an empty value are taken and add nothing, as an empty label is none. */
void loki_labels_take(struct loki_labels *, const struct weir_strings *rules, const struct weir_rec *, const struct weir_attr **ret_taken, size_t *ret_n);
/* Back to the first n labels. */
void loki_labels_cut(struct loki_labels *, size_t n);
/* Appends them, sorted: {a="b", c="d"}, or as JSON {"a":"b","c":"d"}. Without any: service_name="unknown_service", as Loki has it. */
void loki_labels_put(struct loki_labels *, int json, struct kit_bytes *out);

/* --- push.c: the body of a push request ------------------------------------------------------------------------------------- */

struct push;

struct push *push_new(const struct loki_labels_config *, int json, uint64_t max_bytes);
void push_free(struct push *); /* NULL is allowed */
/* Encodes a batch: a PushRequest or its JSON, in pieces that live until the next call. 0; WEIR_E_LIMIT: over max_bytes; WEIR_E_NOMEM. */
int push_encode(struct push *, const struct weir_data *, uint64_t now_unix_ns, const struct weir_iov **ret, size_t *ret_n, struct weir_error *);

/* --- answer.c: what a refusal says ------------------------------------------------------------------------------------------- */

/* How many entries of a request Loki refused while it kept the rest, by the text of its answer to one with HTTP 400; 0: it does not say. */
uint64_t loki_refused(const char *p, size_t n);
/* Whether the text is that of a time stamp that no schema of Loki covers, which it answers as if it were a passing failure. */
int loki_says_no_schema(const char *p, size_t n);

#endif
