/*
 * weir/config.h - field tables: how a stage declares its configuration.
 *
 * A stage never reads YAML. It declares a table of fields; the host validates the document against it (unknown key,
 * wrong type, out of range: file:line:col and a hint), binds the values into the stage's own struct and prints the
 * manual page from it. The struct and everything it points at belong to the host, are zero-filled first, and live
 * until the stage is closed. Durations are nanoseconds, sizes are bytes. A table ends with a field whose name is NULL.
 */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Field types, and the C type that stands at `offset`. */
#define WEIR_T_BOOL 1       /* int32_t, 0 or 1 */
#define WEIR_T_INT 2        /* int64_t */
#define WEIR_T_UINT 3       /* uint64_t */
#define WEIR_T_DOUBLE 4     /* double */
#define WEIR_T_DURATION 5   /* int64_t nanoseconds; written 200ms, 5s, 1m30s (as Go's time.Duration; a bare 0 is allowed) */
#define WEIR_T_BYTES 6      /* uint64_t bytes; written 4194304, 4MiB, 512KiB, 20MB */
#define WEIR_T_STRING 7     /* const char *, NUL-terminated; NULL when absent and without default */
#define WEIR_T_ENUM 8       /* int32_t, index into `choices` ("basic|normal|detailed"); -1 when absent and without default */
#define WEIR_T_STRINGS 9    /* struct weir_strings */
#define WEIR_T_MAP 10       /* struct weir_map: string keys to string values */
#define WEIR_T_GROUP 11     /* a struct in place; `group` is its table. Absent = all defaults */
#define WEIR_T_OPT_GROUP 12 /* pointer to a const struct of `group_size` bytes; NULL when the key is absent; `key:` (null) = all defaults */
#define WEIR_T_GROUPS 13    /* struct weir_groups: a list of mappings */

/* Field flags. */
#define WEIR_REQUIRED 1u   /* absent is an error */
#define WEIR_SECRET 2u     /* never printed */
#define WEIR_DEPRECATED 4u /* accepted with a warning; `doc` says what replaces it */
#define WEIR_NONEMPTY 8u   /* a string or list may not be empty */

struct weir_strings {
  const char *const *v;
  size_t n;
};

struct weir_map_entry {
  const char *key, *value;
};

struct weir_map {
  const struct weir_map_entry *v;
  size_t n;
};

struct weir_groups {
  const void *v; /* n structs of group_size bytes */
  size_t n;
};

/* One field. Append only; a table is walked by the size that the plugin declares (weir_stage_type.field_size). */
struct weir_field {
  const char *name; /* YAML key, snake_case, no dots */
  uint32_t type, flags;
  size_t offset;
  const char *dflt;     /* in YAML spelling; NULL = zero / absent */
  const char *min, *max; /* inclusive, in YAML spelling; NULL = none */
  const char *choices;  /* for WEIR_T_ENUM: "a|b|c" */
  const char *unit;     /* "spans", "requests"; NULL where the type says it */
  const char *doc;      /* one sentence or more; required */
  const struct weir_field *group;
  size_t group_size;
};

#define WEIR_FIELD_END { NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }

#ifdef __cplusplus
}
#endif
#endif
