/*
 * pipelines/telemetry.h - the process's own metrics: a page in Prometheus text on http://host:port/metrics, and the figures of the process itself; and decisions of
 * tail sampling as JSON, on /why?trace_id=... and /decisions?outcome=dropped&policy=P&since=5m&limit=N (docs/design/admin.md).
 *
 * Names are the Collector's (otelcol_process_*) and weir_*. The server runs on the control loop, so a scrape costs no lane anything.
 * Threads: [control].
 */
#ifndef PIPELINES_TELEMETRY_H
#define PIPELINES_TELEMETRY_H

#include "core/loop.h"
#include "pipelines/ask.h"
#include "pipelines/config.h"

struct telemetry;

/* As ask_stages, of the running graph. */
typedef void telemetry_ask_f(void *arg, const char *question, ask_done_f *, void *done_arg);

/* Registers the process's figures and, where metrics are enabled, listens. 0, or an error that names the address. */
int telemetry_start(struct loop *control, const struct config_telemetry *, uint32_t lanes, struct telemetry **ret, struct weir_error *);
/* host:port of the page, with brackets around IPv6. */
void telemetry_endpoint(const struct config_telemetry *, char *buf, size_t cap);
int telemetry_port(const struct telemetry *); /* the one that was bound (for port 0); 0 when there is no page */
void telemetry_on_question(struct telemetry *, telemetry_ask_f *, void *arg); /* who answers questions; NULL: nobody. telemetry NULL allowed */
void telemetry_stop(struct telemetry *);                                      /* NULL allowed */

#endif
