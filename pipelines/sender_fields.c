#include <stddef.h>

#include "pipelines/config.h"
#include "plugins/kit/metadata_keys.h"

/* The keys of the Collector's exporterhelper, with its defaults; on_full is ours. */
#define Q(member) offsetof(struct sender_config, queue.member)
#define R(member) offsetof(struct sender_config, retry.member)
#define B(member) offsetof(struct sender_batch_config, member)

static const struct weir_field partition_fields[] = {
  { .name = "metadata_keys",
    .type = WEIR_T_STRINGS,
    .offset = B(metadata_keys),
    .doc = "Names of request metadata (in any case; the receiver needs `include_metadata: true`): requests with different values are gathered apart, and what is sent "
           "carries these values, for `from_context` of headers_setter. No value and an empty one differ." },
  { .name = "cache_size",
    .type = WEIR_T_INT,
    .offset = B(cache_size),
    .dflt = "10000",
    .min = "1",
    .max = "1000000",
    .unit = "combinations",
    .doc = "How many combinations of values are gathered at the same time, per lane: for one more, what was added to least recently is sent early. Without effect "
           "where metadata_keys is not set." },
  WEIR_FIELD_END,
};

static const struct weir_field batch_fields[] = {
  { .name = "flush_timeout",
    .type = WEIR_T_DURATION,
    .offset = B(flush_timeout_ns),
    .dflt = "200ms",
    .min = "1ns",
    .doc = "When to send what was gathered, however little it is." },
  { .name = "min_size",
    .type = WEIR_T_INT,
    .offset = B(min_size),
    .dflt = "8192",
    .min = "0",
    .doc = "How much is gathered before it is sent, in the unit of `sizer`, on each lane; 0 sends at once." },
  { .name = "max_size",
    .type = WEIR_T_INT,
    .offset = B(max_size),
    .dflt = "0",
    .min = "0",
    .doc = "The most that one request holds: larger ones are cut, except one item alone; 0 means without limit." },
  { .name = "sizer",
    .type = WEIR_T_ENUM,
    .offset = B(sizer),
    .choices = "items|bytes",
    .doc = "What min_size and max_size count. Default: what the queue's sizer counts, and items when that is requests." },
  { .name = "partition", .type = WEIR_T_GROUP, .offset = 0, .doc = "What is never put into one request.", .group = partition_fields },
  WEIR_FIELD_END,
};

static const struct weir_field queue_fields[] = {
  { .name = "enabled",
    .type = WEIR_T_BOOL,
    .offset = Q(enabled),
    .dflt = "true",
    .doc = "Whether requests wait in a queue. Without one, a receiver's request waits until the exporter has sent or given up." },
  { .name = "num_consumers",
    .type = WEIR_T_INT,
    .offset = Q(num_consumers),
    .dflt = "10",
    .min = "1",
    .max = "10000",
    .unit = "requests",
    .doc = "How many requests are sent at the same time." },
  { .name = "queue_size",
    .type = WEIR_T_INT,
    .offset = Q(queue_size),
    .dflt = "1000",
    .min = "1",
    .doc = "How much fits in the queue, in the unit that `sizer` names." },
  { .name = "sizer",
    .type = WEIR_T_ENUM,
    .offset = Q(sizer),
    .dflt = "requests",
    .choices = "requests|items|bytes",
    .doc = "What queue_size counts: requests, items (spans, data points, log records) or bytes." },
  { .name = "block_on_overflow",
    .type = WEIR_T_BOOL,
    .offset = Q(block_on_overflow),
    .dflt = "false",
    .doc = "When the queue is full, let the sender wait instead of refusing it." },
  { .name = "wait_for_result",
    .type = WEIR_T_BOOL,
    .offset = Q(wait_for_result),
    .dflt = "false",
    .doc = "Answer the sender only when the request has been sent or given up." },
  { .name = "storage",
    .type = WEIR_T_STRING,
    .offset = Q(storage),
    .doc = "Id of an extension, such as file_storage, that keeps the queue on disk: a request is answered when the disk has it, and what is there is sent after a restart. "
           "queue_size counts what is on disk, too." },
  { .name = "dead_letter",
    .type = WEIR_T_STRING,
    .offset = Q(dead_letter),
    .doc = "Id of a storage extension: what is given up for good (refused, too large, all retries failed) is kept there with the reason, for `weir queue`. When it is full, "
           "the oldest is dropped." },
  { .name = "batch",
    .type = WEIR_T_OPT_GROUP,
    .offset = Q(batch),
    .group = batch_fields,
    .group_size = sizeof(struct sender_batch_config),
    .doc = "Gathers requests behind the queue into larger ones. Off unless the key is there; `batch: {}` takes the defaults." },
  { .name = "on_full",
    .type = WEIR_T_ENUM,
    .offset = Q(on_full),
    .dflt = "refuse",
    .choices = "refuse|drop",
    .doc = "When the queue is full: refuse answers the sender with a retryable error, drop counts and drops what comes." },
  WEIR_FIELD_END,
};

static const struct weir_field retry_fields[] = {
  { .name = "enabled",
    .type = WEIR_T_BOOL,
    .offset = R(enabled),
    .dflt = "true",
    .doc = "Whether a request that failed for a passing reason is sent again." },
  { .name = "initial_interval",
    .type = WEIR_T_DURATION,
    .offset = R(initial_interval_ns),
    .dflt = "5s",
    .min = "0",
    .doc = "Wait before the first retry. A delay that the server asks for wins." },
  { .name = "randomization_factor",
    .type = WEIR_T_DOUBLE,
    .offset = R(randomization_factor),
    .dflt = "0.5",
    .min = "0",
    .max = "1",
    .doc = "How much each wait varies at random: 0.5 means by half, up or down." },
  { .name = "multiplier",
    .type = WEIR_T_DOUBLE,
    .offset = R(multiplier),
    .dflt = "1.5",
    .min = "1",
    .max = "1000",
    .doc = "By how much each wait is longer than the one before." },
  { .name = "max_interval",
    .type = WEIR_T_DURATION,
    .offset = R(max_interval_ns),
    .dflt = "30s",
    .min = "0",
    .doc = "The longest wait between two retries." },
  { .name = "max_elapsed_time",
    .type = WEIR_T_DURATION,
    .offset = R(max_elapsed_time_ns),
    .dflt = "300s",
    .min = "0",
    .doc = "When to give a request up, counted from its first attempt; 0 means never." },
  WEIR_FIELD_END,
};

/* The members of a group are addressed from the whole struct, so the groups stand at offset 0. */
const struct weir_field sender_fields[] = {
  { .name = "timeout",
    .type = WEIR_T_DURATION,
    .offset = offsetof(struct sender_config, timeout_ns),
    .dflt = "5s",
    .min = "0",
    .doc = "How long one attempt to send may take; 0 means without limit." },
  { .name = "sending_queue", .type = WEIR_T_GROUP, .offset = 0, .doc = "The queue in front of the exporter.", .group = queue_fields },
  { .name = "retry_on_failure",
    .type = WEIR_T_GROUP,
    .offset = 0,
    .doc = "How requests that failed are sent again.",
    .group = retry_fields },
  WEIR_FIELD_END,
};

int sender_batch_sizer(const struct sender_config *c) {
  if (c->queue.batch->sizer >= 0) return c->queue.batch->sizer ? SIZER_BYTES : SIZER_ITEMS;
  return c->queue.sizer == SIZER_BYTES ? SIZER_BYTES : SIZER_ITEMS;
}

/* The Collector's checks. */
int sender_fields_check(const struct sender_config *c, struct weir_error *err) {
  const struct sender_batch_config *b = c->queue.batch;
  if (c->queue.storage && c->queue.wait_for_result) {
    weir_fail_field(err, "sending_queue.wait_for_result", "`wait_for_result` is not supported with a persistent queue configured with `storage`");
    weir_hint(err, "remove one of them: with storage a request is answered when the disk has it");
  } else if (b && kit_metadata_keys_check(&b->metadata_keys, "sending_queue.batch.partition.metadata_keys", err)) {
    return err->code;
  } else if (b && b->max_size && b->max_size < b->min_size) {
    weir_fail_field(err, "sending_queue.batch.max_size", "it must be greater or equal to min_size (%lld)", (long long)b->min_size);
    weir_hint(err, "raise max_size, lower min_size, or write 0 for no limit");
  } else if (b && c->queue.enabled && sender_batch_sizer(c) == c->queue.sizer && b->min_size > c->queue.queue_size) {
    weir_fail_field(err, "sending_queue.batch.min_size", "min_size (%lld) must be less than or equal to queue_size (%lld), as both count %s",
      (long long)b->min_size, (long long)c->queue.queue_size, c->queue.sizer == SIZER_BYTES ? "bytes" : "items");
    weir_hint(err, "raise queue_size or lower min_size");
  } else {
    return 0;
  }
  return err->code;
}
