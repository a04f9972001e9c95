/*
 * When a server ends a connection though nothing is wrong with it: age, idleness, a peer that does not answer a PING or sends too many. Semantics are grpc-go's
 * (keepalive.ServerParameters, EnforcementPolicy). No request is lost: HTTP/2 ends in two steps (RFC 9113 section 6.8: a GOAWAY that only gives notice, and the
 * one that counts when the peer has answered the PING behind the first), HTTP/1.1 with an answer that says `connection: close`.
 */
#include <string.h>

#include "core/clock.h"
#include "core/http_conn.h"
#include "core/jitter.h"

#define AGE_JITTER_PERCENT 10
#define DRAIN_NOTICE_NS (50 * NS_PER_MS) /* between the two GOAWAY frames of a drain, at the longest; more than a round trip */
#define NOTICE_NS (5 * NS_PER_S)         /* the same of a connection that ends by itself: nobody waits for it */
#define PING_STRIKES 2u
#define IDLE_PING_NS (7200 * NS_PER_S) /* shortest time between pings without a request, unless they are allowed */
#define PING_TIMEOUT_NS (20 * NS_PER_S)

static const uint8_t notice_ping[8] = { 'w', 'e', 'i', 'r', 'd', 'o', 'n', 'e' };

void keepalive_config(struct weir_http_server *s) {
  const struct weir_http_keepalive *k = s->cfg.keepalive;
  s->cfg.keepalive = NULL; /* borrowed for the call */
  if (k) memcpy(&s->keepalive, k, k->size < sizeof s->keepalive ? k->size : sizeof s->keepalive);
  if (!s->keepalive.ping_timeout_ns) s->keepalive.ping_timeout_ns = PING_TIMEOUT_NS;
}

void keepalive_begin(struct http_conn *c) {
  int64_t max_age_ns = c->server->keepalive.max_age_ns;
  c->idle_ns = clock_mono_ns();
  c->old_ns = max_age_ns > 0 ? c->idle_ns + jitter_ns(max_age_ns, AGE_JITTER_PERCENT) : INT64_MAX;
}

/* --- what is due when: 0 = never ---------------------------------------------------------------------------------- */

static int64_t after(int64_t from_ns, int64_t limit_ns) { return limit_ns > 0 && from_ns <= INT64_MAX - limit_ns ? from_ns + limit_ns : INT64_MAX; }

static int64_t idle_due(const struct http_conn *c) {
  if (c->n_exchanges || c->retire_ns) return INT64_MAX;
  if (c->proto == 2 && c->server->cfg.flags & WEIR_HTTP_NO_KEEP_ALIVE && c->top_id) return c->idle_ns;
  return after(c->idle_ns, c->server->cfg.idle_timeout_ns);
}

static int64_t goaway_due(const struct http_conn *c) {
  const struct weir_http_server *s = c->server;
  if (!c->retire_ns || c->goaway_sent) return INT64_MAX;
  if (!s->draining) return c->retire_ns + NOTICE_NS;
  return (c->retire_ns > s->drain_ns ? c->retire_ns : s->drain_ns) + DRAIN_NOTICE_NS;
}

static int64_t grace_due(const struct http_conn *c) { return c->old && c->retire_ns ? after(c->retire_ns, c->server->keepalive.max_age_grace_ns) : INT64_MAX; }

static int64_t ping_due(const struct http_conn *c) {
  if (c->pinged_ns) return after(c->pinged_ns, c->server->keepalive.ping_timeout_ns);
  return after(c->progress_ns, c->server->keepalive.ping_after_ns);
}

int64_t keepalive_due_ns(const struct http_conn *c, int64_t due) {
  int64_t all[5] = { idle_due(c), c->old ? INT64_MAX : c->old_ns, INT64_MAX, INT64_MAX, INT64_MAX };
  if (c->proto == 2) {
    all[2] = goaway_due(c);
    all[3] = grace_due(c);
    all[4] = ping_due(c);
  }
  for (int i = 0; i < 5; i++)
    if (all[i] < due) due = all[i];
  return due;
}

/* --- doing it ------------------------------------------------------------------------------------------------------- */

static void tick_http2(struct http_conn *c, int64_t now) {
  if (grace_due(c) <= now || (c->pinged_ns && ping_due(c) <= now)) {
    conn_close(c);
    return;
  }
  if (ping_due(c) <= now) {
    c->pinged_ns = now;
    nghttp2_submit_ping(c->h2, NGHTTP2_FLAG_NONE, NULL);
  }
  if (goaway_due(c) <= now) http2_goaway(c);
  http2_pump(c);
}

void keepalive_tick(struct http_conn *c, int64_t now) {
  int idle = idle_due(c) <= now;
  if (idle && c->proto != 2) {
    conn_close(c);
    return;
  }
  if (!c->old && c->old_ns <= now) c->old = 1; /* HTTP/1.1: the next answer says so */
  if (c->proto != 2) return;
  if (idle || c->old) keepalive_retire(c);
  if (!c->io.closing && !c->lingering) tick_http2(c, now);
}

void keepalive_retire(struct http_conn *c) {
  if (c->retire_ns || c->goaway_sent || c->lingering) return;
  c->retire_ns = clock_mono_ns();
  nghttp2_submit_shutdown_notice(c->h2);
  nghttp2_submit_ping(c->h2, NGHTTP2_FLAG_NONE, notice_ping);
  http2_pump(c);
}

static void peer_pinged(struct http_conn *c) {
  static const char why[] = "too_many_pings";
  const struct weir_http_keepalive *k = &c->server->keepalive;
  int64_t now = clock_mono_ns(), last = c->peer_ping_ns;
  c->peer_ping_ns = now;
  if (k->ping_min_ns <= 0) return;
  if (c->answered_since_ping) { /* something was sent meanwhile: the peer may measure its bandwidth */
    c->answered_since_ping = 0;
    c->strikes = 0;
    return;
  }
  int64_t least = c->n_exchanges || k->flags & WEIR_HTTP_PING_IDLE ? k->ping_min_ns : IDLE_PING_NS;
  if (last && last > now - least) c->strikes++;
  if (c->strikes <= PING_STRIKES) return;
  conn_count_refused(c, REFUSED_FLOOD);
  nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->h2), NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)why, sizeof why - 1);
  c->goaway_sent = c->evicted = 1;
}

void keepalive_ping_received(struct http_conn *c, const nghttp2_frame *frame) {
  if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) peer_pinged(c);
  else if (c->retire_ns && memcmp(frame->ping.opaque_data, notice_ping, sizeof notice_ping) == 0) c->notice_heard = 1;
}
