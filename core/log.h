/*
 * core/log.h - structured log lines on stderr (or files), as the Collector's console and json encodings.
 *
 * Lines: time, level, logger (stage id), message. Repeats of one format from one logger within 10 s are counted and
 * told in one line ("... (and 128 more like it)"). A pipe that nobody reads blocks nobody: lines are lost, and counted when it is read again. [any]
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdarg.h>

#include <weir/stage.h>

struct log_config {
  int level;  /* WEIR_LOG_* */
  int json;   /* 0 console, 1 json */
  int fd;     /* 2 = stderr */
  int raw;    /* 1: no rate limit (tests) */
};

void log_setup(const struct log_config *);
void log_set_level(int level);
/* Whether lines of this level are written. */
int log_enabled(int level);
void log_write(int level, const char *logger, const char *fmt, ...) WEIR_PRINTF(3, 4);
/* One of a list of which none may be missing: repeats are written, too. */
void log_each(int level, const char *logger, const char *fmt, ...) WEIR_PRINTF(3, 4);
void log_vwrite(int level, const char *logger, const char *fmt, va_list ap);
/* Control characters never reach a terminal or forge a line. What does not fit is left out; returns the length. [any] */
size_t log_escape(char *out, size_t cap, const char *text, int json);
/* Tells held-back repeats; called once a second by the control thread and at the end. */
void log_flush(void);

#define log_debug(logger, ...) log_write(WEIR_LOG_DEBUG, logger, __VA_ARGS__)
#define log_info(logger, ...) log_write(WEIR_LOG_INFO, logger, __VA_ARGS__)
#define log_warn(logger, ...) log_write(WEIR_LOG_WARN, logger, __VA_ARGS__)
#define log_error(logger, ...) log_write(WEIR_LOG_ERROR, logger, __VA_ARGS__)

#endif
