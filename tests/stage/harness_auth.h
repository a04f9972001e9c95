/*
 * tests/stage/harness_auth.h - authentication in stage tests: asking an extension under test, and a made-up extension for stages that ask one.
 */
#ifndef TESTS_STAGE_HARNESS_AUTH_H
#define TESTS_STAGE_HARNESS_AUTH_H

#include <weir/auth.h>

#include "harness.h"

/* The table that the harness's extension offers; the test fails when there is none. */
const void *harness_offer(struct harness *, const char *service);

/* --- asking a server's side ---------------------------------------------------------------------------------------------- */

struct weir_auth_checker *harness_checker(struct harness *);
void harness_checker_close(struct harness *, struct weir_auth_checker *);
/* What the extension says of a request with this one header; header NULL: none. */
struct weir_auth_result harness_check(struct harness *, struct weir_auth_checker *, const char *header, const char *value);

/* --- asking a client's side ---------------------------------------------------------------------------------------------- */

struct weir_auth_signer *harness_signer(struct harness *);
void harness_signer_close(struct harness *, struct weir_auth_signer *);
/* Signs a request that has `headers` ("a: b\nc: d\n"); the result in the same form, or "error: ..." */
const char *harness_sign(struct harness *, struct weir_auth_signer *, const struct weir_context *, const char *headers);
/* A context with these lines as metadata and attributes, on the harness's lane. The caller unrefs it. */
const struct weir_context *harness_context(struct harness *, const char *metadata, const char *auth);

/* --- a made-up extension --------------------------------------------------------------------------------------------------- */

/* Lets "authorization: ok" pass as username ann, says "busy" to "busy", refuses others; a client sends "authorization: ok" and, where the context has it, the
 * tenant as x-out. For harness_setup.extension. */
struct weir_stage *harness_fake_auth(void);
extern int harness_fake_refused; /* what the fake says of a refusal by the peer: 1 = try again */
extern int harness_fake_handles; /* checkers and signers that are open */

#endif
