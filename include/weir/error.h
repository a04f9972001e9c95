/*
 * weir/error.h - how a function says what went wrong.
 *
 * A function that can fail returns 0 or one of the negative codes below and fills a caller-owned `struct weir_error`.
 * The text is for a person: what is wrong, where, what to do. Who handles an error logs it; who passes it on may
 * prefix context. Nothing here allocates; every call is safe on any thread.
 */
#ifndef WEIR_ERROR_H
#define WEIR_ERROR_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_E_INVALID (-1)     /* the input breaks a rule (malformed bytes, bad value) */
#define WEIR_E_LIMIT (-2)       /* the input is legal but over a configured limit */
#define WEIR_E_NOMEM (-3)       /* no memory, or the byte budget is used up */
#define WEIR_E_IO (-4)          /* the operating system refused (bind, connect, read) */
#define WEIR_E_UNSUPPORTED (-5) /* known, but not offered by this build or this configuration */
#define WEIR_E_CONFIG (-6)      /* a configuration value can not work; `field` names it */
#define WEIR_E_STATE (-7)       /* called in the wrong state */

/* One failure. `field` is a dotted path inside the stage's own configuration ("protocols.grpc.endpoint") and lets the
 * host point at file:line:col; it is empty where no field is to blame. Strings are always NUL-terminated. */
struct weir_error {
  int32_t code;
  uint32_t line, col; /* 1-based; 0 = unknown */
  uint32_t reserved;
  uint64_t offset; /* byte offset in the input for WEIR_E_INVALID from a decoder, else 0 */
  char field[128];
  char file[256];
  char msg[512];
  char hint[256];
};

#if defined(__GNUC__)
#define WEIR_PRINTF(fmt_at, arg_at) __attribute__((format(printf, fmt_at, arg_at)))
#else
#define WEIR_PRINTF(fmt_at, arg_at)
#endif

/* Fills `err` (NULL allowed: then nothing is written) and returns `code`, so that a failing line reads
 * `return weir_fail(err, WEIR_E_INVALID, "...")`. Keeps a `field` that was set before. */
WEIR_PRINTF(3, 4)
static inline int weir_fail(struct weir_error *err, int code, const char *fmt, ...) {
  if (err) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    err->code = code;
  }
  return code;
}

/* As weir_fail, and names the configuration field at fault. */
WEIR_PRINTF(3, 4)
static inline int weir_fail_field(struct weir_error *err, const char *field, const char *fmt, ...) {
  if (err) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    snprintf(err->field, sizeof err->field, "%s", field);
    err->code = WEIR_E_CONFIG;
  }
  return WEIR_E_CONFIG;
}

/* Adds "what to do" to an error that was just filled. */
WEIR_PRINTF(2, 3)
static inline void weir_hint(struct weir_error *err, const char *fmt, ...) {
  if (err) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
  }
}

#ifdef __cplusplus
}
#endif
#endif
