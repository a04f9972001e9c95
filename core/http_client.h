/*
 * core/http_client.h - HTTP client: HTTP/1.1 with kept-alive connections, or HTTP/2 with prior knowledge. Semantics: include/weir/http.h.
 */
#ifndef CORE_HTTP_CLIENT_H
#define CORE_HTTP_CLIENT_H

#include <weir/http.h>

#include "core/loop.h"

int http_client_open(struct loop *, const struct weir_http_client_config *, struct weir_http_client **ret, struct weir_error *);
void http_client_close(struct weir_http_client *);
void http_call(struct weir_http_client *, const struct weir_http_call_config *);

#endif
