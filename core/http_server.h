/*
 * core/http_server.h - HTTP server: HTTP/1.1 and HTTP/2 in cleartext on a lane. Semantics: include/weir/http.h, whose calls these are with a loop
 * in place of the stage.
 */
#ifndef CORE_HTTP_SERVER_H
#define CORE_HTTP_SERVER_H

#include <weir/http.h>

#include "core/loop.h"

int http_listen(struct loop *, const struct weir_http_server_config *, struct weir_http_server **ret, struct weir_error *);
/* What http_listen would refuse without trying to listen: the address's form, and TLS with its files as they are now. [any] */
int http_listen_check(const struct weir_http_server_config *, struct weir_error *);
int http_server_port(const struct weir_http_server *);
void http_server_drain(struct weir_http_server *, weir_fn_f *drained, void *arg);
void http_server_close(struct weir_http_server *);
void http_reply(struct weir_http_exchange *, const struct weir_http_reply *);
struct weir_body *http_body_take(struct weir_http_exchange *);
struct loop *http_exchange_loop(struct weir_http_exchange *);

#endif
