/*
 * plugins/kit/metadata_keys.h - some names of request metadata, and what their values say: which requests belong together, and the pairs that stand for them.
 *
 * Used by whatever gathers the requests of one client apart from those of another: the batch processor (`metadata_keys`) and the host's senders
 * (`sending_queue.batch.partition.metadata_keys`). As in the Collector, no value, one empty value and several values are different, and the order of several counts.
 * Names are compared in lower case. Threads: none of its own; the keys do not change once made.
 */
#ifndef PLUGINS_KIT_METADATA_KEYS_H
#define PLUGINS_KIT_METADATA_KEYS_H

#include <weir/config.h>
#include <weir/context.h>
#include <weir/error.h>

#include "plugins/kit/hash.h"

#define KIT_METADATA_KEYS_MAX 32u

struct kit_metadata_keys {
  struct weir_str *v; /* lower case, owned */
  size_t n;
  struct kit_hash_key hash_key;
};

/* WEIR_E_CONFIG at the field of this path for a name twice, in whatever case, or too many names. */
int kit_metadata_keys_check(const struct weir_strings *, const char *field, struct weir_error *);
/* Copies. 0, or WEIR_E_NOMEM with nothing kept. */
int kit_metadata_keys_init(struct kit_metadata_keys *, const struct weir_strings *);
void kit_metadata_keys_done(struct kit_metadata_keys *); /* zeroed ones allowed */

/* Of the keys' values, keyed: clients choose them. A context may be NULL: it has none. */
uint64_t kit_metadata_hash(const struct kit_metadata_keys *, const struct weir_context *);
int kit_metadata_same(const struct kit_metadata_keys *, const struct weir_context *, const struct weir_context *);
/* The keys' pairs, borrowed from the context; `to` has room for all of its metadata. Returns how many. */
uint32_t kit_metadata_pick(const struct kit_metadata_keys *, const struct weir_context *, struct weir_pair *to);

#endif
