/*
 * What Loki says when it refuses entries of a request and keeps the rest, with HTTP 400 (v3.7: pkg/ingester/stream.go errorForFailedEntries,
 * pkg/distributor/distributor.go and util.GroupedErrors). The text is all there is: the protocol has no field for it. Label values stand in it, so a
 * number is never trusted beyond counting.
 */
#include <string.h>

#include "loki.h"

/* Refusals of one entry each; others, such as those of labels, are of a whole stream. */
static const char *const of_entry[] = { "has timestamp too old", "has timestamp too new", "Max entry size", "has structured metadata too large", "has too many structured metadata labels",
  "includes structured metadata, but this feature is disallowed" };

#define IGNORED "total ignored: "
#define LIKE " errors like: "

static const char *find(const char *p, const char *end, const char *text) { return p < end ? memmem(p, (size_t)(end - p), text, strlen(text)) : NULL; }

/* The number at p, or before it, at most 9 digits; 0 when there is none. */
static uint64_t number_at(const char *p, const char *end) {
  uint64_t v = 0;
  for (int i = 0; i < 9 && p < end && *p >= '0' && *p <= '9'; i++) v = v * 10 + (uint64_t)(*p++ - '0');
  return v;
}

static const char *number_start(const char *begin, const char *p) {
  while (p > begin && p[-1] >= '0' && p[-1] <= '9') p--;
  return p;
}

static int is_of_entry(const char *p, const char *end) {
  for (size_t i = 0; i < sizeof of_entry / sizeof *of_entry; i++)
    if (find(p, end, of_entry[i])) return 1;
  return 0;
}

/* The ingester's: "user 'x', total ignored: 2 out of 10 for stream: {...}". */
static uint64_t ignored(const char *p, const char *end) {
  uint64_t n = 0;
  while ((p = find(p, end, IGNORED))) {
    p += sizeof IGNORED - 1;
    n += number_at(p, end);
  }
  return n;
}

/* The distributor's: "3 errors like: entry for stream ...; 1 errors like: ...". 0 when one of them is not of single entries. */
static uint64_t grouped(const char *begin, const char *end) {
  uint64_t n = 0;
  const char *p = find(begin, end, LIKE);
  while (p) {
    const char *next = find(p + 1, end, LIKE);
    if (!is_of_entry(p, next ? next : end)) return 0;
    n += number_at(number_start(begin, p), p);
    p = next;
  }
  return n;
}

uint64_t loki_refused(const char *p, size_t n) {
  const char *end = p + n;
  uint64_t count = ignored(p, end);
  if (count) return count;
  if (find(p, end, LIKE)) return grouped(p, end);
  return is_of_entry(p, end) ? 1 : 0;
}

int loki_says_no_schema(const char *p, size_t n) { return find(p, p + n, "no schema config found for time") != NULL; }
