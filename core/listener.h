/*
 * core/listener.h - listening sockets, one per address for the whole process.
 *
 * Lanes of one owner join the same listener; the first one's loop accepts, and each connection is handed to the lane with the fewest connections. No
 * SO_REUSEPORT: it leaves lanes idle and lets two processes share a port silently. Joining and leaving happen on the control thread before the lanes run, or
 * on the lane itself; the registry has a lock for that.
 *
 * Take-over, when a reload replaces whoever listens: members of a newer generation join the listener of an address while the older ones are still there; new
 * connections go to the newest generation only, the socket never closes in between, and the older ones leave when the newer ones stand.
 */
#ifndef CORE_LISTENER_H
#define CORE_LISTENER_H

#include <weir/error.h>

#include "core/loop.h"

struct listeners;
struct listener_member;
struct listener_claim;

/* A new connection's socket, on the member's lane. Takes fd. */
typedef void listener_conn_f(void *arg, int fd);

struct listeners *listeners_new(void);
void listeners_free(struct listeners *); /* NULL allowed; all members must have left */
/* Joins the listener of (owner, protocol, endpoint), or makes it: what speaks another protocol would get this one's connections. protocol is borrowed for
 * good. The sentence in err says who holds a busy address, where /proc tells. */
int listener_join(struct listeners *, struct loop *, const char *owner, const char *protocol, const char *endpoint, listener_conn_f *, void *arg,
  struct listener_member **ret, struct weir_error *);
/* For a library that opens its own socket there next (the C-core engine): whether this process could listen, by binding and closing again. 0, or the error
 * that listener_join would give. What is claimed cannot be joined; it is given back when the library begins to close its socket. [any] */
int listener_claim(struct listeners *, const char *owner, const char *endpoint, struct listener_claim **ret, struct weir_error *);
void listener_unclaim(struct listener_claim *); /* NULL allowed */
/* Whether it is an address that could be listened on, on whatever machine: its form, port and path. Asks no resolver and binds nothing. [any] */
int listener_check(const char *endpoint, struct weir_error *);
/* The port that was bound (for endpoints with port 0); -1 for unix sockets. */
int listener_port(const struct listener_member *);
/* How many connections the listener's members have together, and one less. Each that on_conn gave is to be told when it is closed. */
uint32_t listener_connections(const struct listener_member *);
void listener_conn_closed(struct listener_member *);
/* No more connections for this member; the socket closes with the first one that leaves, as a drain concerns them all, unless members of another
 * generation stay. NULL allowed. [lane] */
void listener_leave(struct listener_member *);
/* Whether a newer generation took this member's address over, so that its clients find somebody when they connect anew. */
int listener_succeeded(const struct listener_member *);
/* After it left: nobody asks this member anything any more. It goes with its last connection. NULL allowed. [lane] */
void listener_release(struct listener_member *);

/* Members that join from now on are a newer generation. [control] */
void listeners_next_generation(struct listeners *);
/* Whether others than this owner may join the listeners where its members are now, because they are about to leave. [control] */
void listeners_yield(struct listeners *, const char *owner, int yields);

#endif
