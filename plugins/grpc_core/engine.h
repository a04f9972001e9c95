/*
 * plugins/grpc_core/engine.h - inside the C-core engine: threads, and how work passes between them and the lanes.
 *
 * gRPC reports finished operations on a completion queue. All servers and clients of the process share one queue, and each lane that uses the engine adds a
 * thread that polls it. A polling thread never touches what belongs to a lane: it passes a job to the lane's port, in order, and one loop_post
 * stands for all jobs that wait there. A port whose last server and client were closed takes no more jobs; whoever has one then gets rid of it himself.
 * When the last user of the queue is gone it is shut down, the threads end and gRPC gives its own back.
 * Words: a tag is an operation that is under way in gRPC; a job is something to do on a lane. [poll] is a polling thread.
 */
#ifndef GRPC_CORE_ENGINE_H
#define GRPC_CORE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>

#include "plugins/grpc_engine.h"

#define MESSAGE_TEXT_MAX 1024u /* bytes of a status message that are sent or kept, as in core/grpc_status.h */

/* Embedded in the owner as its first member or found by offset; `armed` orders what the lane wrote before the operation with the thread that ends it, in
 * terms that ThreadSanitizer sees through an uninstrumented libgrpc. */
struct tag {
  void (*fn)(struct tag *, int ok); /* [poll] */
  _Atomic int armed;
};

struct job {
  struct job *next;
  void (*fn)(struct job *); /* [lane], or any thread after the port was closed: then only to free */
};

struct run {
  grpc_completion_queue *cq;
  uint32_t refs, threads; /* under the engine's lock */
};

/* A polling thread. */
struct poller {
  struct poller *next; /* among the finished; under the engine's lock, as thread */
  struct run *run;
  pthread_t thread;
};

/* A lane as seen from polling threads. */
struct port {
  struct port *next; /* in the engine's list while it has users; under its lock */
  struct loop *loop;
  struct run *run;
  uint32_t users;     /* open servers and clients; under the engine's lock */
  _Atomic int refs;   /* servers and clients in memory, the posted step */
  pthread_mutex_t lock;
  struct job *head, **tail;
  int posted, closed;
};

extern const struct grpc_host *grpc_host;
extern const struct grpc_engine grpc_core;

/* The lane's port, made with a thread of its own on first use; one more user and one more ref. */
int port_open(struct loop *, struct port **ret, struct weir_error *);
/* One user less; the last one closes it, and jobs that wait are run to be freed. [lane] */
void port_close(struct port *);
void port_ref(struct port *);
void port_unref(struct port *); /* [any] */
/* Takes the job and returns 1, or 0 when the port is closed. [any] */
int port_push(struct port *, struct job *);

void tag_arm(struct tag *, void (*fn)(struct tag *, int ok));

struct run *run_hold(void); /* the running queue, started if there is none */
void run_ref(struct run *);
void run_release(struct run *); /* [any] */

/* --- server.c --- */
int core_listen(struct loop *, const struct weir_grpc_server_config *, struct weir_grpc_server **ret, struct weir_error *);
int core_port(const struct weir_grpc_server *);
void core_drain(struct weir_grpc_server *, weir_fn_f *drained, void *arg);
void core_close(struct weir_grpc_server *);

/* --- exchange.c --- */
struct weir_body *core_body_take(struct weir_grpc_exchange *);
void core_reply(struct weir_grpc_exchange *, const struct weir_grpc_status *, const char *msg, size_t msg_n);

/* --- client.c --- */
int core_client_open(struct loop *, const struct weir_grpc_client_config *, struct weir_grpc_client **ret, struct weir_error *);
void core_client_close(struct weir_grpc_client *);
void core_call_with(struct weir_grpc_client *, const char *path, const struct weir_http_header *metadata, size_t n_metadata, const struct weir_iov *msg,
  size_t n, int64_t deadline_ns, weir_grpc_response_f *on_response, void *arg);
void core_call(struct weir_grpc_client *, const char *path, const struct weir_iov *msg, size_t n, int64_t deadline_ns, weir_grpc_response_f *on_response,
  void *arg);

/* --- tls.c --- */
int core_tls_check(const struct weir_tls_config *config, struct weir_error *);
/* tls_use_begin, behind what gRPC can not do. config NULL: no effect. */
int core_tls_begin(struct tls_use *, struct loop *, int is_server, const struct weir_tls_config *config, struct weir_error *);
/* flags: WEIR_TLS_. Reads the system's CAs where they are trusted. [lane] */
int core_channel_credentials(const struct tls_texts *, uint32_t flags, grpc_channel_credentials **ret, struct weir_error *);

/* --- bytes.c --- */
struct weir_str slice_str(const grpc_slice *);
grpc_slice slice_of(const char *p, size_t n); /* a copy */
/* The message behind a 5-byte prefix in one body of the lane's pool, as it stands on the wire; frees the buffer. NULL when the byte budget refuses it. */
struct weir_body *body_of_message(struct pool *, grpc_byte_buffer *, int overdraw, struct weir_str *ret_encoding);
grpc_byte_buffer *message_of_slice(grpc_slice, int gzip); /* takes the slice */
/* At most MESSAGE_TEXT_MAX bytes of msg, never half a UTF-8 sequence. */
size_t text_length(const char *msg);
/* "ipv4:127.0.0.1:4317" as "127.0.0.1:4317"; "unix" for sockets in the file system. */
void peer_text(const char *peer, char *buf, size_t cap);

/* Channel arguments, collected in an array that is large enough. */
struct args {
  grpc_arg v[24];
  size_t n;
};
/* Milliseconds as gRPC takes them, at least 1. */
int ms_of(int64_t ns);
void arg_int(struct args *, const char *key, int value);
void arg_str(struct args *, const char *key, const char *value);
/* What bounds the memory that connections of one server or channel hold inside gRPC; see bytes.c. */
void arg_quota(struct args *, grpc_resource_quota *);
grpc_resource_quota *quota_new(const struct budget *, uint64_t max_message_bytes);

#endif
