/*
 * prometheus_remote_write/request.h - from a batch to requests: placement of series, the limit of a request's size, what is left out and why.
 *
 * Order. All series of a data point go to one shard, chosen by a hash of its labels; each shard's requests are sent one after the other, so samples of a
 * series leave in the order in which the batch holds them. A batch that will probably fit into one request has one shard.
 *
 * Size. A request is closed before the series that would bring it over the limit. That series' size is known only as an upper bound (all of its texts,
 * which a symbol table may hold already), so requests are a little smaller than the limit; a series that is larger alone is sent alone.
 *
 * Threads: [lane] of the instance. Requests own their bodies.
 */
#ifndef RW_REQUEST_H
#define RW_REQUEST_H

#include <weir/http.h>
#include <weir/stage.h>

#include "plugins/kit/prom.h"
#include "series.h"

#define RW_MAX_SHARDS 64u
#define RW_REASONS 16u

struct rw_request {
  struct rw_request *next; /* of its shard, in order */
  struct weir_body *body;  /* not compressed; NULL once it was given away */
  struct rw_counts counts;
  uint64_t digest; /* of the body; 0 when the batch has no other request */
};

struct rw_dropped {
  const char *reason; /* a literal */
  uint64_t items;
};

/* What a batch became. */
struct rw_encoded {
  struct rw_request *first[RW_MAX_SHARDS], **last[RW_MAX_SHARDS];
  uint32_t n_shards, n_requests;
  struct rw_dropped dropped[RW_REASONS];
  uint32_t n_dropped;
  uint64_t items_dropped, series;
};
void rw_encoded_free(struct rw_encoded *, const struct weir_http_service *); /* what was not given away */

struct rw_encoder_config {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct weir_http_service *http;
  struct prom *prom; /* borrowed */
  uint64_t max_bytes;
  uint32_t max_shards;
  int send_metadata, target_info;
  int nhcb, keep_classic; /* explicit histograms as native ones with custom buckets (2.0), beside the classic series or instead */
};

struct rw_encoder;
int rw_encoder_new(const struct rw_encoder_config *, struct rw_encoder **ret, struct weir_error *);
void rw_encoder_free(struct rw_encoder *); /* NULL is allowed */
/* The same batch comes out the same again, until rw_encoder_settled. items: how many data points there are. 0, and ret to be freed; or WEIR_E_NOMEM and nothing to be freed. */
int rw_encode(struct rw_encoder *, const struct weir_data *, uint64_t items, int v2, struct rw_encoded *ret);
void rw_encoder_settled(struct rw_encoder *); /* the batch that was encoded last will not come again */

#endif
