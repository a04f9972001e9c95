/*
 * weir/auth.h - services that extensions offer to receivers ("weir.auth_server/1") and exporters ("weir.auth_client/1").
 *
 * A stage gets them by the id that the user wrote: host->extension(stage, "basicauth/gateway", WEIR_AUTH_SERVER_SERVICE, &self, &err).
 *
 * Threads. An extension exists once and its own functions run on the control thread; its tables are called from all lanes at the
 * same time. So each instance that uses one opens a handle (a checker, a signer) of its own: what changes per call lives in the
 * handle, which only the lane of that instance touches. What all handles read (tokens, passwords) is immutable, published by the
 * extension through an atomic pointer, and replaced as a whole. Nothing waits and nothing locks.
 * Secrets: no text that goes to a client, a log line, a metric or an error may hold a credential or a part of one.
 */
#ifndef WEIR_AUTH_H
#define WEIR_AUTH_H

#include <weir/http.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_AUTH_SERVER_SERVICE "weir.auth_server/1"
#define WEIR_AUTH_CLIENT_SERVICE "weir.auth_client/1"

/* --- server: who is this? ------------------------------------------------------------------------------------------ */

#define WEIR_AUTH_OK 0u
#define WEIR_AUTH_MISSING 1u   /* no credentials at all */
#define WEIR_AUTH_MALFORMED 2u /* credentials of another scheme, or broken */
#define WEIR_AUTH_INVALID 3u   /* well-formed, and wrong */
#define WEIR_AUTH_BUSY 4u      /* not decided now, the client may try again: a limit on costly checks is reached */

/* What a request says. Header names are lower case. Borrowed for the call. */
struct weir_auth_request {
  uint32_t size, reserved;
  const struct weir_http_header *headers;
  size_t n_headers;
  struct weir_str peer;
};

/* The answer. What it points at lives until the next call on the same checker. */
struct weir_auth_result {
  uint32_t size, code;          /* code: WEIR_AUTH_* */
  const char *msg;              /* for the client; never NULL unless OK */
  const char *challenge;        /* the WWW-Authenticate of a 401; NULL = none */
  const struct weir_pair *attrs; /* OK: for the batch's context */
  size_t n_attrs;
};

struct weir_auth_checker;

struct weir_auth_server {
  uint32_t size, reserved;
  /* A handle for one instance. `self` as host->extension gave it, `user` is the instance that asks. [control or lane] */
  int (*open)(void *self, struct weir_stage *user, struct weir_auth_checker **ret, struct weir_error *);
  /* Judges a request, before its body is held. Does not block. Called again for the whole request, so that a repeated credential must be
   * cheap. [lane of the user] */
  void (*check)(struct weir_auth_checker *, const struct weir_auth_request *, struct weir_auth_result *ret);
  /* NULL is allowed. Comes before the extension is closed. [lane of the user, or control] */
  void (*close)(struct weir_auth_checker *);
};

/* --- client: headers of a request that is about to be sent ------------------------------------------------------------ */

/* The request's header list, edited in place. cap is the room that v has. */
struct weir_auth_headers {
  uint32_t size, reserved;
  struct weir_http_header *v;
  size_t n, cap;
};

struct weir_auth_signer;

#define WEIR_AUTH_CONFIDENTIAL 1u /* what it adds is a secret: a user warns when it goes out in plaintext */

struct weir_auth_client {
  uint32_t size, flags;
  int (*open)(void *self, struct weir_stage *user, struct weir_auth_signer **ret, struct weir_error *);
  /* Adds, replaces or removes headers. context: of the batch that is sent, NULL when it has none. Strings that it adds live until the next call on the
   * same signer, or are the context's. On failure the request is not sent: WEIR_E_INVALID for good, else retryable. [lane of the user] */
  int (*sign)(struct weir_auth_signer *, const struct weir_context *context, struct weir_auth_headers *, struct weir_error *);
  /* The peer refused the credentials (401, UNAUTHENTICATED). 1: newer ones may be there soon, try the request again; 0: it was refused for good. [lane of the user] */
  int (*refused)(struct weir_auth_signer *);
  void (*close)(struct weir_auth_signer *); /* as above */
};

#ifdef __cplusplus
}
#endif
#endif
