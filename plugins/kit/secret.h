/*
 * plugins/kit/secret.h - tokens and passwords: comparing them, forgetting them, reading them from files that change, and handing them to lanes.
 *
 * A secret file is re-read when its modification time, size or inode changes; the path is resolved at each look, so that a symlink that is swapped
 * (Kubernetes) counts as a change. A published value is immutable; the control thread replaces it and any lane reads the newest.
 */
#ifndef KIT_SECRET_H
#define KIT_SECRET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/error.h>

#define KIT_SECRET_MAX (64u << 10) /* bytes of a file of secrets; larger ones are refused */

/* Whether two byte strings are the same, in a time that depends on their lengths only. */
int kit_secret_equal(const void *a, size_t a_n, const void *b, size_t b_n);
/* Overwrites, then frees. NULL is allowed. */
void kit_secret_free(char *p, size_t n);

/* --- files ---------------------------------------------------------------------------------------------------------- */

struct kit_secret_file {
  const char *path; /* borrowed */
  int64_t mtime_ns;
  uint64_t size, inode, device;
  int failing; /* the last look failed: said once */
};

/* Reads the file when it is not what it was at the last look. 1 and *ret (NUL-terminated, without white space at its ends; the caller frees it with
 * kit_secret_free): it is new. 0: unchanged. Negative: it can not be read (err names the path, never what is in it); what was read before stays good. */
int kit_secret_read(struct kit_secret_file *, char **ret, size_t *ret_n, struct weir_error *);

/* --- publishing -------------------------------------------------------------------------------------------------------- */

/* One writer, many readers, no locks. A reader counts itself in while it looks; what was replaced is freed when the writer, after the replacement,
 * has once seen nobody inside: who comes later sees the new value. */
struct kit_published {
  _Atomic(void *) now;
  _Atomic uint32_t readers;
  struct kit_retired *retired; /* the writer's */
  void (*free)(void *);
};

/* [any] The newest value, which stays until leave; NULL before the first set. A bounded time. */
const void *kit_published_enter(struct kit_published *);
void kit_published_leave(struct kit_published *);
/* [the writer's thread] Takes the value. */
void kit_published_set(struct kit_published *, void *value);
/* [the writer's thread] Frees what nobody can see any more; call it now and then. */
void kit_published_sweep(struct kit_published *);
void kit_published_done(struct kit_published *); /* when nobody is inside any more */

#endif
