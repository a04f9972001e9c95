#include <stddef.h>

#include "pipelines/config.h"

/* The keys of the Collector's exporterhelper, with its defaults; on_full is ours. */
#define Q(member) offsetof(struct sender_config, queue.member)
#define R(member) offsetof(struct sender_config, retry.member)

static const struct weir_field queue_fields[] = {
  { .name = "enabled", .type = WEIR_T_BOOL, .offset = Q(enabled), .dflt = "true",
    .doc = "Whether requests wait in a queue. Without one, a receiver's request waits until the exporter has sent or given up." },
  { .name = "num_consumers", .type = WEIR_T_INT, .offset = Q(num_consumers), .dflt = "10", .min = "1", .max = "10000", .unit = "requests",
    .doc = "How many requests are sent at the same time." },
  { .name = "queue_size", .type = WEIR_T_INT, .offset = Q(queue_size), .dflt = "1000", .min = "1",
    .doc = "How much fits in the queue, in the unit that `sizer` names." },
  { .name = "sizer", .type = WEIR_T_ENUM, .offset = Q(sizer), .dflt = "requests", .choices = "requests|items|bytes",
    .doc = "What queue_size counts: requests, items (spans, data points, log records) or bytes." },
  { .name = "block_on_overflow", .type = WEIR_T_BOOL, .offset = Q(block_on_overflow), .dflt = "false",
    .doc = "When the queue is full, let the sender wait instead of refusing it." },
  { .name = "wait_for_result", .type = WEIR_T_BOOL, .offset = Q(wait_for_result), .dflt = "false",
    .doc = "Answer the sender only when the request has been sent or given up." },
  { .name = "storage", .type = WEIR_T_STRING, .offset = Q(storage), .doc = "Id of a storage extension that keeps the queue on disk. Not available yet." },
  { .name = "on_full", .type = WEIR_T_ENUM, .offset = Q(on_full), .dflt = "refuse", .choices = "refuse|drop",
    .doc = "When the queue is full: refuse answers the sender with a retryable error, drop counts and drops what comes." },
  WEIR_FIELD_END,
};

static const struct weir_field retry_fields[] = {
  { .name = "enabled", .type = WEIR_T_BOOL, .offset = R(enabled), .dflt = "true", .doc = "Whether a request that failed for a passing reason is sent again." },
  { .name = "initial_interval", .type = WEIR_T_DURATION, .offset = R(initial_interval_ns), .dflt = "5s", .min = "0",
    .doc = "Wait before the first retry. A delay that the server asks for wins." },
  { .name = "randomization_factor", .type = WEIR_T_DOUBLE, .offset = R(randomization_factor), .dflt = "0.5", .min = "0", .max = "1",
    .doc = "How much each wait varies at random: 0.5 means by half, up or down." },
  { .name = "multiplier", .type = WEIR_T_DOUBLE, .offset = R(multiplier), .dflt = "1.5", .min = "1", .max = "1000", .doc = "By how much each wait is longer than the one before." },
  { .name = "max_interval", .type = WEIR_T_DURATION, .offset = R(max_interval_ns), .dflt = "30s", .min = "0", .doc = "The longest wait between two retries." },
  { .name = "max_elapsed_time", .type = WEIR_T_DURATION, .offset = R(max_elapsed_time_ns), .dflt = "300s", .min = "0",
    .doc = "When to give a request up, counted from its first attempt; 0 means never." },
  WEIR_FIELD_END,
};

/* The members of a group are addressed from the whole struct, so the groups stand at offset 0. */
const struct weir_field sender_fields[] = {
  { .name = "timeout", .type = WEIR_T_DURATION, .offset = offsetof(struct sender_config, timeout_ns), .dflt = "5s", .min = "0",
    .doc = "How long one attempt to send may take; 0 means without limit." },
  { .name = "sending_queue", .type = WEIR_T_GROUP, .offset = 0, .doc = "The queue in front of the exporter.", .group = queue_fields },
  { .name = "retry_on_failure", .type = WEIR_T_GROUP, .offset = 0, .doc = "How requests that failed are sent again.", .group = retry_fields },
  WEIR_FIELD_END,
};
