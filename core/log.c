#include "core/log.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"

#define REPEAT_SLOTS 64
#define REPEAT_BURST 5                 /* lines of one kind that are written as they come */
#define REPEAT_WINDOW_NS (10 * NS_PER_S)

/* One kind of line: a format from a logger at a level. */
struct repeat {
  const char *fmt;
  char logger[64];
  int level;
  uint32_t written, held;
  int64_t since_ns;
  char last[256];
};

static struct log_config config = { WEIR_LOG_INFO, 0, 2, 0 };
static _Atomic int least = WEIR_LOG_INFO; /* config.level, read without the lock */
static struct repeat repeats[REPEAT_SLOTS];
static uint64_t unwritten; /* lines that nobody took */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_setup(const struct log_config *c) {
  pthread_mutex_lock(&lock);
  config = *c;
  pthread_mutex_unlock(&lock);
  log_set_level(c->level);
}

void log_set_level(int level) { least = level; }

int log_enabled(int level) { return level >= least; }

size_t log_escape(char *out, size_t cap, const char *s, int json) {
  size_t n = 0;
  for (; *s && n + 8 < cap; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '\n') n += (size_t)snprintf(out + n, cap - n, "\\n");
    else if (json && (c == '"' || c == '\\')) n += (size_t)snprintf(out + n, cap - n, "\\%c", c);
    else if (c < 0x20 || c == 0x7f) n += (size_t)snprintf(out + n, cap - n, json ? "\\u%04x" : "\\x%02x", c);
    else out[n++] = (char)c;
  }
  out[n] = 0;
  return n;
}

/* A pipe that is writable has room for PIPE_BUF (4096) bytes, more than a line. One that nobody reads must not stop the lanes: lines are counted instead. */
static void put_line(const char *line, size_t n) {
  struct pollfd out = { config.fd, POLLOUT, 0 };
  if (poll(&out, 1, 0) == 0) {
    unwritten++;
    return;
  }
  if (write(config.fd, line, n) < 0) unwritten++;
}

static void write_line(int level, const char *logger, const char *text) {
  char line[2600], esc[2048], name[128], stamp[40];
  int64_t now = clock_unix_ns();
  time_t s = (time_t)(now / NS_PER_S);
  struct tm tm;
  gmtime_r(&s, &tm);
  size_t t = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
  snprintf(stamp + t, sizeof stamp - t, ".%03dZ", (int)(now % NS_PER_S / NS_PER_MS));
  log_escape(esc, sizeof esc, text, config.json);
  log_escape(name, sizeof name, logger ? logger : "weir", config.json);
  int n = config.json
    ? snprintf(line, sizeof line, "{\"ts\":\"%s\",\"level\":\"%s\",\"logger\":\"%s\",\"msg\":\"%s\"}\n", stamp, level_names[level], name, esc)
    : snprintf(line, sizeof line, "%s\t%s\t%s\t%s\n", stamp, level_names[level], name, esc);
  if (n <= 0) return;
  size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
  put_line(line, len);
}

static void tell_unwritten(void) {
  char text[100];
  uint64_t n = unwritten;
  if (!n) return;
  unwritten = 0;
  snprintf(text, sizeof text, "%" PRIu64 " log lines were lost: nobody took them", n);
  write_line(WEIR_LOG_WARN, "weir", text);
  if (unwritten) unwritten += n - 1; /* still nobody: this line does not count */
}

static void tell_held(struct repeat *r) {
  char text[400];
  if (!r->held) return;
  snprintf(text, sizeof text, "%s (and %" PRIu32 " more like it)", r->last, r->held);
  write_line(r->level, r->logger, text);
  r->held = 0;
}

/* Whether to write this line now; otherwise it is counted. */
static int admit(int level, const char *logger, const char *fmt, const char *text, int64_t now) {
  struct repeat *slot = NULL, *oldest = &repeats[0];
  for (size_t i = 0; i < REPEAT_SLOTS && !slot; i++) {
    struct repeat *r = &repeats[i];
    if (r->fmt == fmt && r->level == level && strncmp(r->logger, logger, sizeof r->logger - 1) == 0) slot = r;
    if (r->since_ns < oldest->since_ns) oldest = r;
  }
  if (!slot) {
    slot = oldest;
    tell_held(slot);
    memset(slot, 0, sizeof *slot);
    slot->fmt = fmt;
    slot->level = level;
    slot->since_ns = now;
    snprintf(slot->logger, sizeof slot->logger, "%s", logger);
  } else if (now - slot->since_ns >= REPEAT_WINDOW_NS) {
    tell_held(slot);
    slot->written = 0;
    slot->since_ns = now;
  }
  if (slot->written < REPEAT_BURST) {
    slot->written++;
    return 1;
  }
  slot->held++;
  snprintf(slot->last, sizeof slot->last, "%.*s", (int)sizeof slot->last - 1, text);
  return 0;
}

static void write_text(int level, const char *logger, const char *fmt, va_list ap, int each) {
  if (!log_enabled(level)) return;
  char text[1600];
  vsnprintf(text, sizeof text, fmt, ap);
  if (!logger) logger = "weir";
  pthread_mutex_lock(&lock);
  if (each || config.raw || admit(level, logger, fmt, text, clock_mono_ns())) write_line(level, logger, text);
  pthread_mutex_unlock(&lock);
}

void log_vwrite(int level, const char *logger, const char *fmt, va_list ap) { write_text(level, logger, fmt, ap, 0); }

void log_each(int level, const char *logger, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  write_text(level, logger, fmt, ap, 1);
  va_end(ap);
}

void log_write(int level, const char *logger, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  log_vwrite(level, logger, fmt, ap);
  va_end(ap);
}

void log_flush(void) {
  pthread_mutex_lock(&lock);
  tell_unwritten();
  for (size_t i = 0; i < REPEAT_SLOTS; i++) tell_held(&repeats[i]);
  pthread_mutex_unlock(&lock);
}
