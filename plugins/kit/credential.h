/*
 * plugins/kit/credential.h - a credential that an extension sends in one header of each request: published by its control thread, copied by each exporter
 * when it is another one. What basicauth and bearertokenauth do as clients (WEIR_AUTH_CLIENT_SERVICE).
 */
#ifndef KIT_CREDENTIAL_H
#define KIT_CREDENTIAL_H

#include <weir/auth.h>

#include "plugins/kit/secret.h"

struct kit_credential {
  const struct weir_host *host;
  const char *header; /* lower case, borrowed */
  int may_change;     /* it comes from a file: a request that the peer refused is tried again for 3 s, in which the file may be read anew */
  uint64_t generation;
  struct kit_published value;
};

void kit_credential_init(struct kit_credential *, const struct weir_host *, const char *header, int may_change);
/* [the control thread] The header's value from now on, copied. WEIR_E_NOMEM. */
int kit_credential_set(struct kit_credential *, struct weir_str value, struct weir_error *);
/* [the control thread] Frees what was replaced and nobody sees any more; call it now and then. */
void kit_credential_sweep(struct kit_credential *);
void kit_credential_done(struct kit_credential *);

/* The signer's side, for the extension's struct weir_auth_client: open gives it the credential. [lane] */
int kit_credential_signer(struct kit_credential *, struct weir_auth_signer **ret, struct weir_error *);
int kit_credential_sign(struct weir_auth_signer *, const struct weir_context *, struct weir_auth_headers *, struct weir_error *);
int kit_credential_refused(struct weir_auth_signer *);
void kit_credential_signer_close(struct weir_auth_signer *);

#endif
