/*
 * core/parse.h - numbers, durations and sizes as users write them. Whole-string parsers: trailing text is an error.
 * Each returns 0, or WEIR_E_INVALID / WEIR_E_LIMIT (out of range of the type) and leaves *ret alone. [any]
 */
#ifndef CORE_PARSE_H
#define CORE_PARSE_H

#include <stddef.h>
#include <stdint.h>

int parse_i64(const char *s, int64_t *ret);   /* decimal, 0x, 0o; optional sign; _ not allowed */
int parse_u64(const char *s, uint64_t *ret);
int parse_double(const char *s, double *ret); /* YAML core schema: 1.5, 1e3, .inf, -.inf, .nan */
int parse_bool(const char *s, int *ret);      /* YAML core schema: true True TRUE false False FALSE */
/* Go's time.ParseDuration: "300ms", "-1.5h", "2h45m"; units ns us µs ms s m h; "0" alone is allowed. */
int parse_duration_ns(const char *s, int64_t *ret);
/* "4194304", "4MiB", "512KiB", "20MB", "1GiB", "1.5GiB"; B, k/K/M/G/T with i = 1024. */
int parse_bytes(const char *s, uint64_t *ret);
/* "host:port", "[::1]:port", ":port" (host ""), "unix:///path" (port -1, host = path). host has room for cap bytes. */
int parse_endpoint(const char *s, char *host, size_t cap, int *ret_port);
/* Writes ns as a duration a person would write ("200ms", "1m30s"); returns buf. */
const char *parse_format_duration(int64_t ns, char *buf, size_t cap);
const char *parse_format_bytes(uint64_t n, char *buf, size_t cap);
/* Damerau-Levenshtein distance, capped at 16; for "did you mean". */
int parse_distance(const char *a, const char *b);

#endif
