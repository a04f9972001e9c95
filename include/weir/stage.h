/*
 * weir/stage.h - the kernel of the stage ABI, version 0 (until 1.0 only the exact minor loads; see docs/design/abi.md).
 *
 * A stage is a shared object that exports one symbol, weir_plugin_v0: plain data that names its stage types. The host
 * copies min(size) of each struct, checks it, and calls the functions below. A stage sees the host through
 * `struct weir_host` and service tables asked for by id. It never calls a sibling, starts a thread or takes a lock.
 *
 * Threads: [control] the main thread; [lane] the thread of this instance, one call at a time; [any] any thread.
 * An instance is single-threaded: its calls never overlap. Before the lanes run, open and start come from the control
 * thread on the lane's behalf. No callback runs inside the call that caused it; every asynchronous call gives exactly
 * one callback, also when cancelled; close comes after the last.
 *
 * Only fixed-width integers, int, size_t, pointers and const char * cross (LP64).
 */
#ifndef WEIR_STAGE_H
#define WEIR_STAGE_H

#include <weir/batch.h>
#include <weir/config.h>
#include <weir/context.h>
#include <weir/data.h>
#include <weir/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_ABI_MAJOR 0u
#define WEIR_ABI_MINOR 1u

#if defined(__GNUC__)
#define WEIR_EXPORT __attribute__((visibility("default")))
#else
#define WEIR_EXPORT
#endif

/* Roles. */
#define WEIR_RECEIVER 1u
#define WEIR_PROCESSOR 2u
#define WEIR_EXPORTER 3u
#define WEIR_CONNECTOR 4u
#define WEIR_EXTENSION 5u

/* Stage type flags. */
#define WEIR_MUTATES 1u  /* edits batches: the graph gives it its own handle at a fan-out (always so) and asks for records */
#define WEIR_ONE_LANE 2u /* one instance in the process, on one lane; batches are posted to it. Default: one per lane */
#define WEIR_QUEUED 4u   /* exporters: the host puts a sender (sending_queue, retry_on_failure, timeout) in front */
#define WEIR_HOLDS 8u    /* processors: keeps records past consume; under `ack: queued` it settles them at once */
#define WEIR_BY_KEY 32u /* processors and exporters: one instance per lane, and each record goes to the lane that its `key` names; records of equal keys meet */
#define WEIR_ABSORBS 64u /* processors: it answers for what it takes (absorb) before that is delivered, so a pipeline with `ack: delivered` refuses it */
#define WEIR_IN_ORDER 16u /* exporters with WEIR_QUEUED: the sender has one consumer, so that no batch overtakes another, also not while one waits for its next try */

/* What an instance reads of the batches it gets; the receiver's work is the maximum of what stands below it. */
#define WEIR_NEED_NONE 0
#define WEIR_NEED_COUNTS 1
#define WEIR_NEED_RECORDS 4

#define WEIR_LOG_DEBUG 0
#define WEIR_LOG_INFO 1
#define WEIR_LOG_WARN 2
#define WEIR_LOG_ERROR 3

struct weir_stage;   /* the host's handle on one instance of one stage */
struct weir_service; /* start of every service table: see below */

typedef void weir_fn_f(void *arg);

/* What the host offers. Append only; ask WEIR_HAS before using a slot newer than you need.
 * `batch` parameters are borrowed unless the comment says takes. */
struct weir_host {
  uint32_t size, abi_minor;

  /* One structured log line; repeats are rate-limited. [any] */
  void (*log)(struct weir_stage *, int level, const char *fmt, ...) WEIR_PRINTF(3, 4);
  /* Reports a failure after start; the host logs it, turns health red and, where fatal != 0, begins the shutdown. [lane] */
  void (*fail)(struct weir_stage *, const struct weir_error *, int fatal);

  /* Sends a batch down output `output` (0 for all but stages with named outputs). Takes it. [lane] */
  void (*emit)(struct weir_stage *, uint32_t output, struct weir_batch *);
  /* Exporters: the outcome of the one attempt that consume began. Takes the batch. [lane] */
  void (*done)(struct weir_stage *, struct weir_batch *, const struct weir_verdict *);
  /* Settles a batch that this stage will not send on, with this verdict. Takes it. Not a drop: nothing is counted as lost. Exporters: the same as done. [lane] */
  void (*settle)(struct weir_stage *, struct weir_batch *, const struct weir_verdict *);
  /* Settles a batch as delivered and counts all its items as dropped by this stage for `reason` (a literal). Takes it. [lane] */
  void (*drop)(struct weir_stage *, struct weir_batch *, const char *reason);
  /* The answer to drain(): all that this instance held is on its way. Once per drain. [lane] */
  void (*drained)(struct weir_stage *);

  /* Names the function that hears the verdict of a batch this stage is about to emit. At most one per batch. [lane] */
  void (*on_verdict)(struct weir_stage *, struct weir_batch *, weir_ack_f *, void *arg);
  /* Moves everything of `from` behind what `into` holds; takes `from`. Their signals are equal. Under `ack: delivered`
   * into's verdict reaches from's waiter; under `ack: queued` from's waiter is answered now. [lane] */
  void (*merge)(struct weir_stage *, struct weir_batch *into, struct weir_batch *from);
  /* A new empty batch of this signal, to merge into. Never NULL. [lane] */
  struct weir_batch *(*batch_new)(struct weir_stage *, uint32_t signal);
  /* Cuts the first `items` items (spans, data points, log records) off into a new batch; NULL when the batch has no
   * more than that. Both share the verdict of the original's waiter. [lane] */
  struct weir_batch *(*split)(struct weir_stage *, struct weir_batch *, uint64_t items);

  uint32_t (*batch_signal)(const struct weir_batch *);
  /* Spans, data points or log records. */
  uint64_t (*batch_items)(const struct weir_batch *);
  /* Size of the batch as one OTLP export request, uncompressed. Exact for clean batches, an upper bound for edited ones. */
  uint64_t (*batch_bytes)(const struct weir_batch *);
  /* The records, decoded on first use; NULL and err only when memory is out. Valid until the batch is given away. [lane] */
  const struct weir_data *(*batch_read)(struct weir_batch *, struct weir_error *);
  /* The records, for changing: makes this batch's own copy first where the tree is shared. [lane] */
  struct weir_data *(*batch_write)(struct weir_batch *, struct weir_error *);
  /* Memory that lives as long as the batch's data, for new strings. Never NULL. [lane] */
  void *(*batch_alloc)(struct weir_batch *, size_t n);
  /* Sets (inserts or overwrites the first of that key) or deletes (all of that key) an attribute of a record in a tree from batch_write. Key and
   * value memory is borrowed for as long as the batch lives: literals, config strings or batch_alloc memory. [lane] */
  void (*attr_set)(struct weir_batch *, struct weir_rec *, struct weir_str key, struct weir_value);
  void (*attr_delete)(struct weir_batch *, struct weir_rec *, struct weir_str key);
  /* Marks a record whose plain fields were assigned. [lane] */
  void (*touch)(struct weir_batch *, struct weir_rec *);
  /* When the attempt that consume began must have ended, on the now_mono_ns clock; 0 = no limit. */
  int64_t (*batch_deadline_ns)(const struct weir_batch *);

  /* A service table by id ("weir.http/1"), or NULL. Ask in open. [lane] */
  const void *(*service)(struct weir_stage *, const char *id);
  /* Runs fn(arg) on the instance's lane in a later step. 0, or WEIR_E_LIMIT when the lane's queue is full. [any] */
  int (*post)(struct weir_stage *, weir_fn_f *, void *arg);
  int64_t (*now_mono_ns)(void); /* virtual in tests */
  int64_t (*now_unix_ns)(void);

  const char *(*stage_id)(const struct weir_stage *);   /* "otlp/2": the id in the configuration */
  uint32_t (*stage_signal)(const struct weir_stage *);  /* the signal of this instance (connectors: of its output) */
  uint32_t (*stage_lane)(const struct weir_stage *);    /* 0 .. lanes-1 */
  uint32_t (*stage_lanes)(const struct weir_stage *);   /* how many instances share the user's limits */

  /* A context of its own, a copy of `what` (names are lowered and sorted). The caller holds one reference. WEIR_E_LIMIT, or WEIR_E_NOMEM when the byte
   * budget has no room. [lane] */
  int (*context_new)(struct weir_stage *, const struct weir_context *what, const struct weir_context **ret, struct weir_error *);
  const struct weir_context *(*context_ref)(const struct weir_context *); /* one more reference; NULL is allowed. [any] */
  void (*context_unref)(const struct weir_context *);                     /* NULL is allowed. [any] */
  /* Who sent the batch; NULL = nothing is known. Borrowed from the batch. [lane] */
  const struct weir_context *(*batch_context)(const struct weir_batch *);
  /* Gives the batch this context instead of its own, which takes a reference; NULL = none. [lane] */
  void (*batch_set_context)(struct weir_batch *, const struct weir_context *);
  /* The table of a service that the extension with this id offers (weir/auth.h), and the `self` to call it with. Both live longer than this instance. NULL and
   * err: the id is not configured, not listed in service.extensions, or offers no such thing. Ask in open. [control or lane] */
  const void *(*extension)(struct weir_stage *, const char *id, const char *service, void **ret_self, struct weir_error *);

  /* What the type's prepare made for this component and place; NULL when it has none. [any] */
  void *(*shared)(struct weir_stage *);
  /* WEIR_HOLDS processors that copy what they keep: answers whoever waits for the batch (delivered) and frees it. Its items stay counted as held by this stage
   * until they leave by emit, in a batch of their own, or by dropped. Takes it. The type has WEIR_ABSORBS. [lane] */
  void (*absorb)(struct weir_stage *, struct weir_batch *);
  /* Counts n items that were absorbed as dropped for `reason` (a literal). [lane] */
  void (*dropped)(struct weir_stage *, uint64_t n, const char *reason);
};

#define WEIR_HAS(host, slot) \
  ((host)->size >= offsetof(struct weir_host, slot) + sizeof((host)->slot) && (host)->slot != NULL)

/* Builds the instance: checks what the field table can not, asks for services. `config` is the bound struct, borrowed
 * until close. On failure fills err (set err->field to blame a key) and leaves nothing behind. [control or lane] */
typedef int weir_open_f(const struct weir_host *, struct weir_stage *, const void *config, void **ret_self, struct weir_error *);
/* Begins to work: listens, starts timers. Consumers are started before those who feed them. [control or lane] */
typedef int weir_start_f(void *self, struct weir_error *);
/* Takes a batch, always. Outcome by emit, done, settle or drop, now or later. [lane] */
typedef void weir_consume_f(void *self, struct weir_batch *);
/* Stop taking, send on what is held, then call host->drained (from here or later). NULL = nothing is ever held. [lane] */
typedef void weir_drain_f(void *self);
/* Frees the instance. Accepts half-built objects. Comes after the last callback. [lane or control] */
typedef void weir_close_f(void *self);
/* What this instance reads: WEIR_NEED_*. NULL = by flags: WEIR_MUTATES means records, else counts. [control] */
typedef int weir_need_f(void *self);
/* Extensions: the table of the service `id` ("weir.auth_server/1") that this instance offers to other stages, or NULL. Called after open, any number of times;
 * the table is constant and is called with `self`, from any lane (weir/auth.h says how). [control or lane] */
typedef const void *weir_offer_f(void *self, const char *id);

/* What is common to all instances of one component at one place (a processor in one pipeline): tables, compiled expressions, limits that the lanes draw on
 * together. Before their open; err as in open. An instance reaches it by host->shared. [control] */
typedef int weir_prepare_f(const struct weir_host *, struct weir_stage *, const void *config, void **ret_shared, struct weir_error *);
/* Frees it, after the last instance was closed. [control] */
typedef void weir_release_f(void *shared);
/* WEIR_BY_KEY: what has to meet on one instance, as a hash of the record (span, metric or log record) that no peer can foresee (a keyed hash, the key drawn once
 * per process). Pure. [any lane] */
typedef uint64_t weir_key_f(const struct weir_resource *, const struct weir_scope *, const struct weir_rec *);
/* A reload changed the settings, but neither the component's name nor its place: moves the state of `from`, the instance that ran until now on this lane, to
 * `self`, which was opened and started with the new settings. Comes between two consumes, before the first of `self`; `from` is drained and closed after
 * that, and gets no batch any more. What `from` held is held by `self` then, for the counters too. Processors and connectors. [lane] */
typedef void weir_adopt_f(void *self, void *from);
/* Answers a question about the state. `question` is one line of words: a name and key=value pairs ("why trace_id=4bf9...", "decisions policy=slow%20ones"; %XX in a value
 * stands for a byte). Writes lines by answer->put, in order, each beginning with what lines of several instances are sorted by (up to a space or comma), with nothing in it that moves a
 * terminal, and returns 1; 0: not a question for this stage. [lane] */
struct weir_answer {
  uint32_t size, reserved;
  void (*put)(struct weir_answer *, const char *p, size_t n); /* at most 1 MiB in all; what is beyond is left out */
};
typedef int weir_inspect_f(void *self, const char *question, struct weir_answer *);

/* One kind of stage. Append only. */
struct weir_stage_type {
  uint32_t size, role, signals, flags; /* signals: WEIR_TRACES|...; for connectors see out_signals */
  const char *name;                    /* the component type: "otlp" */
  const char *aliases;                 /* further names, "otlp_grpc|otlpgrpc"; NULL = none */
  const char *doc;                     /* first sentence is the summary */
  const char *example_yaml;            /* body of the component, checked by a test */
  const char *stability;               /* "alpha", "beta", "stable" */
  const struct weir_field *fields;     /* NULL = no configuration */
  uint32_t field_size, out_signals;    /* sizeof(struct weir_field) as compiled; connectors: what they may emit, 0 = same as in */
  size_t config_size;
  weir_open_f *open;
  weir_start_f *start;     /* optional */
  weir_consume_f *consume; /* required for processor, exporter, connector */
  weir_drain_f *drain;     /* optional */
  weir_close_f *close;
  weir_need_f *need;       /* optional */
  weir_offer_f *offer;     /* extensions, optional */
  weir_prepare_f *prepare; /* optional */
  weir_release_f *release; /* with prepare */
  weir_key_f *key;         /* with WEIR_BY_KEY */
  weir_adopt_f *adopt;     /* optional: state outlives a change of settings */
  weir_inspect_f *inspect; /* optional */
};

/* Plugin flags: sanitizers that are built in. A host of another build refuses, as mixing them crashes. */
#define WEIR_BUILT_ASAN 1u
#define WEIR_BUILT_TSAN 2u

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_BUILD_FLAGS WEIR_BUILT_ASAN
#elif __has_feature(thread_sanitizer)
#define WEIR_BUILD_FLAGS WEIR_BUILT_TSAN
#endif
#endif
#if !defined(WEIR_BUILD_FLAGS)
#if defined(__SANITIZE_ADDRESS__)
#define WEIR_BUILD_FLAGS WEIR_BUILT_ASAN
#elif defined(__SANITIZE_THREAD__)
#define WEIR_BUILD_FLAGS WEIR_BUILT_TSAN
#else
#define WEIR_BUILD_FLAGS 0u
#endif
#endif

struct weir_plugin {
  uint32_t abi_major, abi_minor_needed, size, flags; /* first: they protect the rest */
  const char *name, *version, *license;
  const struct weir_stage_type *const *stages; /* NULL-ended */
};

/* The note that lets the host refuse a file before its constructors run. Put WEIR_PLUGIN_NOTE once in each plugin. */
struct weir_note {
  uint32_t namesz, descsz, type;
  char name[8]; /* "weir" */
  uint32_t abi_major, abi_minor_needed, flags, reserved;
};

#define WEIR_NOTE_TYPE 0x77656972u
#define WEIR_PLUGIN_NOTE                                                                          \
  __attribute__((section(".note.weir"), used, aligned(4))) static const struct weir_note weir_note_v0 = { \
    5, 16, WEIR_NOTE_TYPE, "weir", WEIR_ABI_MAJOR, WEIR_ABI_MINOR, WEIR_BUILD_FLAGS, 0            \
  }

/* Declares the one exported symbol: WEIR_PLUGIN("name", "1.0", "Apache-2.0", &type_a, &type_b); */
#define WEIR_PLUGIN(plugin_name, plugin_version, plugin_license, ...)                                  \
  WEIR_PLUGIN_NOTE;                                                                                    \
  static const struct weir_stage_type *const weir_stages_v0[] = { __VA_ARGS__, NULL };                 \
  extern WEIR_EXPORT const struct weir_plugin weir_plugin_v0;                                          \
  const struct weir_plugin weir_plugin_v0 = { WEIR_ABI_MAJOR, WEIR_ABI_MINOR, sizeof(struct weir_plugin), \
    WEIR_BUILD_FLAGS, plugin_name, plugin_version, plugin_license, weir_stages_v0 }

#ifdef __cplusplus
}
#endif
#endif
