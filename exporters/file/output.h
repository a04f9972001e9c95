/* Inside the file exporter: the file that is appended to, and its rotation. Everything is [lane] of the instance and may wait for the disk. */
#ifndef EXPORTERS_FILE_OUTPUT_H
#define EXPORTERS_FILE_OUTPUT_H

#include <weir/batch.h>
#include <weir/error.h>

#include <sys/types.h>

struct rotation_config {
  uint64_t max_megabytes, max_days, max_backups;
  int32_t localtime;
};

/* Several instances (one per signal) may have the same path: all append whole messages, and one that finds the file renamed opens the new one. */
struct output {
  const char *path;
  const struct rotation_config *rotation; /* NULL: never */
  int fd;                                 /* -1: not open */
  uint64_t rotations;
};

/* Makes the directory above path and all above it that are missing. */
int output_make_directory(const char *path, mode_t mode, struct weir_error *);
/* Whether path can be a file as the directories are now, made ones included. What this user may do shows only when it is opened. Changes nothing. */
int output_check(const char *path, int make_directory, struct weir_error *);
int output_open(struct output *, int truncate, struct weir_error *);
/* Appends a message of `bytes` bytes, all or nothing: what could not be written to its end is cut off again. now_ns names a file that is rotated away. */
int output_write(struct output *, struct weir_iov *iov, size_t n, uint64_t bytes, int64_t now_ns, struct weir_error *);
void output_close(struct output *);

#endif
