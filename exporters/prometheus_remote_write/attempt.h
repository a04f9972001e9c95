/*
 * prometheus_remote_write/attempt.h - one batch on its way: its requests, their answers, and what the sender hears.
 *
 * One batch is under way at a time; further ones wait in the order in which they came. Of each shard one request is under way, and a request that may be
 * tried again holds back those behind it, so that the samples of a series never overtake each other. The batch ends when no request is under way:
 *   - retry, when a request asked for it; what other requests settled is remembered by a digest of their bodies, and not sent again with the next try;
 *   - too large, so that the sender halves the batch;
 *   - else delivered, less what was left out (rw_encoded) and what the back end refused, or rejected when nothing was taken.
 *
 * Versions. Sources: the Prometheus remote write specifications 1.0 and 2.0. A 2xx answer to a 2.0 request without any of the three
 * X-Prometheus-Remote-Write-*-Written headers means what 415 means: the receiver knows 1.0 only. The batch is then sent again as 1.0, as is all that follows.
 * Threads: [lane] of the instance.
 */
#ifndef RW_ATTEMPT_H
#define RW_ATTEMPT_H

#include <weir/http.h>
#include <weir/metrics.h>
#include <weir/stage.h>

#include "plugins/kit/http_export.h"
#include "request.h"

#define RW_SETTLED 4096u /* requests of one batch that are remembered between its tries */

struct rw_attempt;

struct rw_cells {
  struct weir_cell *sent_batches, *series, *samples, *histograms, *exemplars, *lost_exemplars, *fallbacks;
};

/* A request that is under way, of one shard. */
struct rw_flight {
  struct rw_attempt *attempt;
  uint32_t shard;
  int unsupported;           /* the answer says: 1.0 only */
  uint64_t written, written_histograms, written_exemplars; /* as the answer has it */
};

struct rw_settled {
  uint64_t digest, rejected; /* items */
};

struct rw_sender {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct weir_http_service *http;
  const struct weir_metrics_service *metrics; /* NULL: not counted */
  struct http_export *client;
  struct rw_encoder *encoder;
  int v2; /* what is sent now */
  int (*fall_back)(void *arg); /* 1.0 from now on: makes the encoder fit. 0, or not now */
  void *fall_back_arg;
  struct rw_cells cells;
  char labels[512];
  struct {
    const char *reason;
    struct weir_cell *cell;
  } dropped[RW_REASONS];
  struct rw_attempt *active, *waiting, **last_waiting;
  int beginning;
  struct rw_flight flights[RW_MAX_SHARDS];
  struct rw_settled *settled;
  uint32_t n_settled;
};

/* labels are those of the metrics. */
void rw_sender_init(struct rw_sender *, const char *labels);
void rw_sender_done(struct rw_sender *);
void rw_sender_take(struct rw_sender *, struct weir_batch *); /* takes; answers by host->done */

/* For http_export_setup; self is the rw_sender. */
void rw_on_success(void *self, void *arg, const struct weir_http_response *, struct weir_verdict *, char *text, size_t cap);
void rw_on_refusal(void *self, void *arg, const struct weir_http_response *, struct weir_verdict *, char *text, size_t cap);
void rw_on_verdict(void *self, void *arg, const struct weir_verdict *);

#endif
