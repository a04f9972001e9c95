/*
 * plugins/grpc_core/host.c - functions of core that the engine calls, by their own names: each goes through the table that the program gave at load.
 *
 * So the engine reads like the rest of the host, and neither links a second copy of core nor needs the program to export its symbols.
 */
#include "core/assert.h"
#include "core/clock.h"
#include "core/compress.h"
#include "core/listener.h"
#include "core/log.h"
#include "core/otlp.h"
#include "core/parse.h"
#include "plugins/grpc_core/engine.h"

void assert_panic(const char *expr, const char *file, int line, const char *func) {
  grpc_host->panic(expr, file, line, func);
  __builtin_unreachable();
}

void log_write(int level, const char *logger, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  grpc_host->log(level, logger, fmt, ap);
  va_end(ap);
}

int64_t clock_mono_ns(void) { return grpc_host->now_mono_ns(); }
void loop_post(struct loop *l, weir_fn_f *fn, void *arg) { grpc_host->post(l, fn, arg); }
void loop_defer(struct loop *l, struct defer *d) { grpc_host->defer(l, d); }
struct loop *loop_current(void) { return grpc_host->current(); }
struct weir_body *body_new(struct pool *p, size_t cap) { return grpc_host->body_new(p, cap); }
struct weir_body *body_overdraw(struct pool *p, size_t cap) { return grpc_host->body_overdraw(p, cap); }
void body_free(struct weir_body *b) { grpc_host->body_free(b); }
int parse_endpoint(const char *s, char *host, size_t cap, int *ret_port) { return grpc_host->endpoint_parse(s, host, cap, ret_port); }
void listener_unclaim(struct listener_claim *c) { grpc_host->listen_unclaim(c); }
void tls_use_end(struct tls_use *u) { grpc_host->tls_end(u); }
struct tls_texts *tls_texts_of(struct tls_use *u) { return grpc_host->tls_texts(u); }
void tls_texts_release(struct tls_texts *t) { grpc_host->tls_release(t); }
int rpc_status_parse(const char *p, size_t n, struct weir_rpc_status *ret) { return grpc_host->status_parse(p, n, ret); }

int tls_use_begin(struct tls_use *u, struct loop *l, int is_server, const struct weir_tls_config *c, struct weir_error *err) {
  return grpc_host->tls_begin(u, l, is_server, c, err);
}

int listener_claim(struct listeners *ls, const char *owner, const char *endpoint, struct listener_claim **ret, struct weir_error *err) {
  return grpc_host->listen_claim(ls, owner, endpoint, ret, err);
}

int compress_deflate(struct pool *p, const char *encoding, int level, const struct weir_iov *iov, size_t n, struct weir_body **ret, struct weir_error *err) {
  return grpc_host->deflate(p, encoding, level, iov, n, ret, err);
}

uint32_t grpc_message_read(struct pool *p, struct weir_str encoding, const char *body, size_t n, const struct grpc_limit *limit, struct grpc_message *ret,
  struct weir_error *err) {
  return grpc_host->message_read(p, encoding, body, n, limit, ret, err);
}

uint32_t grpc_message_over(uint64_t n, const struct grpc_limit *limit, struct weir_error *err) { return grpc_host->message_over(n, limit, err); }

size_t rpc_status_make(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap) {
  return grpc_host->status_make(code, msg, retry_after_ns, buf, cap);
}
