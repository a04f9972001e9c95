/*
 * plugins/grpc_core/server.h - inside the C-core engine's server: one gRPC server per address for the process, its members, a call.
 *
 * gRPC has one server per address; each lane that listens with the same owner and endpoint is a member of it, and every call goes to the next member in turn
 * (calls, not connections, are spread: gRPC's threads read the connections anyway). A call is requested, read and answered in three operations. Between them it
 * belongs to a polling thread or, from exchange_arrive to the answer, to the member's lane.
 */
#ifndef GRPC_CORE_SERVER_H
#define GRPC_CORE_SERVER_H

#include <grpc/grpc_security.h>

#include "plugins/grpc_core/engine.h"

#define SERVER_MAGIC 0x69bcc0e5u
#define EXCHANGE_MAGIC 0x69bcc0e8u
#define MAX_MEMBERS 64

struct shared;

enum security { SECURITY_NONE, SECURITY_TLS, SECURITY_MUTUAL };

struct weir_grpc_server {
  const struct grpc_engine *engine; /* first: grpc_engine_of */
  uint32_t magic, closed;           /* closed: [lane] */
  struct port *port;
  struct shared *shared;
  struct weir_grpc_method *methods; /* paths owned */
  size_t n_methods;
  void *self;
  weir_grpc_metadata_f *on_metadata; /* NULL: nobody asks */
  struct grpc_limit limit;
  struct tls_use tls;
  struct tls_texts *texts;         /* NULL = plaintext; under shared->lock, as order */
  uint64_t order;                  /* who joined last says which certificate is shown */
  _Atomic int refs;                /* until core_close, and one per call */
  struct weir_grpc_exchange *live; /* with their handler; [lane] */
  size_t n_live;                   /* calls that came and have not ended; under shared->lock, as left and draining */
  int left, draining;
  struct job drain_job;
  weir_fn_f *drained;
  void *drained_arg;
};

struct shared {
  struct shared *next; /* in the list of those that take calls; under the list's lock */
  struct run *run;
  char *owner, *endpoint;
  struct listener_claim *claim; /* while it takes calls */
  int port;
  enum security security;
  grpc_server *server;
  _Atomic int refs; /* members in memory, requested calls, calls that no member took, the shutdown */
  struct tag down;
  pthread_mutex_t lock;
  int n_members, next_member, n_open, n_taking; /* n_open: not closed; n_taking: not left */
  int stopping;
  uint64_t n_joined;
  struct tls_texts *offer, *served; /* for the next connection; what gRPC has */
  struct weir_grpc_server *members[MAX_MEMBERS]; /* NULL where one was closed */
};

struct weir_grpc_exchange {
  const struct grpc_engine *engine; /* first: grpc_engine_of */
  uint32_t magic, reserved;
  struct tag tag;
  struct job job;
  struct weir_grpc_exchange *next, *prev; /* server->live */
  struct weir_grpc_server *server;        /* NULL until a member has it */
  struct shared *shared;
  const struct weir_grpc_method *method;
  grpc_call *call;
  grpc_call_details details;
  grpc_metadata_array metadata, trailing;
  grpc_byte_buffer *message;
  struct weir_body *body; /* from exchange_arrive until body_take or the answer */
  struct weir_http_header *headers;
  grpc_metadata line; /* grpc-status-details-bin */
  int has_line, cancelled;
  char peer[80];
  struct weir_grpc_request request;
};

/* --- server.c --- */
/* The member whose turn it is, with one more live call and ref, or NULL when all have left. [poll] */
struct weir_grpc_server *shared_next(struct shared *);
/* One live call less. [any] */
void server_call_ended(struct weir_grpc_server *);
void server_unref(struct weir_grpc_server *);
void shared_ref(struct shared *);
void shared_unref(struct shared *);

/* --- tls.c --- */
/* What connections are shown from now on; under shared->lock. */
void shared_offer(struct shared *, struct tls_texts *);
grpc_server_credentials *core_server_credentials(struct shared *);

/* --- exchange.c --- */
/* Asks gRPC for one more call; takes a ref of shared for it. */
void exchange_request(struct shared *);
/* Ends the call without an answer of the handler: it goes nowhere. [any] */
void exchange_drop(struct weir_grpc_exchange *);
/* The server is closed: the peer hears so, the handler may still answer. [lane] */
void exchange_cancel(struct weir_grpc_exchange *);

#endif
