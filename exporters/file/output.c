#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PIECES 64
#define STAMP "2022-09-14T05-02-14.173" /* what stands in a rotated file's name */
#define STAMP_N (sizeof STAMP - 1)
#define MS_PER_DAY (24 * 3600 * 1000LL)
#define PATH_BYTES 4096
#define BACKUPS_READ 10000u /* more rotated files than this are left for the next time */

int output_make_directory(const char *path, mode_t mode, struct weir_error *err) {
  char dir[PATH_BYTES];
  size_t n = strlen(path);
  if (n >= sizeof dir) return weir_fail_field(err, "path", "longer than %d bytes", PATH_BYTES - 1);
  for (size_t i = 1; i < n; i++) {
    if (path[i] != '/') continue;
    memcpy(dir, path, i);
    dir[i] = 0;
    if (mkdir(dir, mode) && errno != EEXIST) return weir_fail_field(err, "path", "cannot make the directory %s: %s", dir, strerror(errno));
  }
  return 0;
}

int output_check(const char *path, int make_directory, struct weir_error *err) {
  char dir[PATH_BYTES];
  struct stat st;
  size_t n = strlen(path);
  int e = 0;
  if (n >= sizeof dir) return weir_fail_field(err, "path", "longer than %d bytes", PATH_BYTES - 1);
  if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) return 0;
  if (stat(path, &st) == 0) {
    weir_hint(err, "write the name of a file in it");
    return weir_fail_field(err, "path", "cannot open %s: %s", path, strerror(EISDIR));
  }
  memcpy(dir, path, n + 1);
  do { /* the nearest that is there, where missing ones are made */
    char *slash = strrchr(dir, '/');
    if (slash) slash[slash == dir] = 0;
    else snprintf(dir, sizeof dir, ".");
    e = stat(dir, &st) ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
  } while (make_directory && e == ENOENT && strcmp(dir, "/") != 0 && strcmp(dir, ".") != 0);
  return e == ENOENT || e == ENOTDIR ? weir_fail_field(err, "path", "cannot open %s: %s", path, strerror(e)) : 0;
}

int output_open(struct output *o, int truncate, struct weir_error *err) {
  o->fd = open(o->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | (truncate ? O_TRUNC : 0), 0644);
  return o->fd < 0 ? weir_fail(err, WEIR_E_IO, "cannot open %s: %s", o->path, strerror(errno)) : 0;
}

void output_close(struct output *o) {
  if (o->fd >= 0) close(o->fd);
  o->fd = -1;
}

/* --- rotation ----------------------------------------------------------------------------------------------------------------- */

/* The name before and behind the time stamp: the extension begins at the last dot of the last part. */
static size_t stem_of(const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
  return dot ? (size_t)(dot - path) : strlen(path);
}

static void stamp_of(int64_t unix_ms, int local, char *out, size_t cap) {
  time_t s = (time_t)(unix_ms / 1000);
  struct tm tm;
  if (local) localtime_r(&s, &tm);
  else gmtime_r(&s, &tm);
  size_t n = strftime(out, cap, "%Y-%m-%dT%H-%M-%S", &tm);
  snprintf(out + n, cap - n, ".%03d", (int)(unix_ms % 1000));
}

/* When a rotated file was named, or -1 when the text is no stamp. */
static int64_t stamp_ms(const char *text, int local) {
  struct tm tm;
  memset(&tm, 0, sizeof tm);
  tm.tm_isdst = -1;
  const char *end = strptime(text, "%Y-%m-%dT%H-%M-%S", &tm);
  if (!end || end - text != (long)STAMP_N - 4 || *end != '.') return -1;
  for (int i = 1; i < 4; i++)
    if (end[i] < '0' || end[i] > '9') return -1;
  return (local ? mktime(&tm) : timegm(&tm)) * 1000LL + atol(end + 1);
}

static int by_name_descending(const void *a, const void *b) { return strcmp(*(char *const *)b, *(char *const *)a); }

/* The file names in the directory that rotation made for this path, newest first. The caller frees them. */
static size_t list_backups(const struct output *o, const char *dir, char ***ret) {
  size_t stem = stem_of(o->path), n = 0, cap = 0;
  const char *slash = strrchr(o->path, '/'), *base = slash ? slash + 1 : o->path, *ext = o->path + stem;
  size_t base_n = stem - (size_t)(base - o->path), want = base_n + 1 + STAMP_N + strlen(ext);
  DIR *d = opendir(dir);
  char **names = NULL;
  for (struct dirent *e; d && n < BACKUPS_READ && (e = readdir(d));) {
    if (strlen(e->d_name) != want || memcmp(e->d_name, base, base_n) != 0 || e->d_name[base_n] != '-' || strcmp(e->d_name + want - strlen(ext), ext) != 0 ||
      stamp_ms(e->d_name + base_n + 1, o->rotation->localtime) < 0)
      continue;
    if (n == cap) {
      char **grown = realloc(names, (cap = cap ? cap * 2 : 16) * sizeof *names);
      if (!grown) break;
      names = grown;
    }
    if (!(names[n] = strdup(e->d_name))) break;
    n++;
  }
  if (d) closedir(d);
  if (n) qsort(names, n, sizeof *names, by_name_descending);
  *ret = names;
  return n;
}

/* Removes what is over max_backups or older than max_days. A file that can not be removed stays: the next rotation tries again. */
static void remove_old(const struct output *o, int64_t now_ms) {
  char dir[PATH_BYTES], path[PATH_BYTES + 256], **names;
  const char *slash = strrchr(o->path, '/'), *base = slash ? slash + 1 : o->path;
  const struct rotation_config *r = o->rotation;
  snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - o->path) + 1 : 2, slash ? o->path : "./");
  size_t stamp_at = stem_of(base) + 1, n = list_backups(o, dir, &names);
  for (size_t i = 0; i < n; i++) {
    int64_t age_ms = now_ms - stamp_ms(names[i] + stamp_at, r->localtime);
    snprintf(path, sizeof path, "%s%s", dir, names[i]);
    if ((r->max_backups && i >= r->max_backups) || (r->max_days && age_ms > (int64_t)r->max_days * MS_PER_DAY)) unlink(path);
    free(names[i]);
  }
  free(names);
}

static int rotate(struct output *o, int64_t now_ms, struct weir_error *err) {
  size_t stem = stem_of(o->path);
  char to[PATH_BYTES + 64], stamp[64];
  int64_t at = now_ms;
  do { /* never over a file that is there */
    stamp_of(at++, o->rotation->localtime, stamp, sizeof stamp);
    snprintf(to, sizeof to, "%.*s-%s%s", (int)stem, o->path, stamp, o->path + stem);
  } while (access(to, F_OK) == 0 && at < now_ms + 1000);
  if (rename(o->path, to)) return weir_fail(err, WEIR_E_IO, "cannot rename %s to %s: %s", o->path, to, strerror(errno));
  output_close(o);
  o->rotations++;
  remove_old(o, now_ms);
  return output_open(o, 0, err);
}

/* Whether path is not the file that is open: another instance rotated it, or somebody moved it away. */
static int was_replaced(const struct output *o, const struct stat *open_file) {
  struct stat named;
  return stat(o->path, &named) != 0 || named.st_ino != open_file->st_ino || named.st_dev != open_file->st_dev;
}

/* --- writing -------------------------------------------------------------------------------------------------------------------- */

/* 0, or -1 with errno. */
static int write_all(int fd, struct weir_iov *iov, size_t n) {
  size_t i = 0;
  while (i < n) {
    struct iovec v[PIECES];
    int k = 0;
    for (; k < PIECES && i + (size_t)k < n; k++) {
      v[k].iov_base = (void *)(uintptr_t)iov[i + (size_t)k].p;
      v[k].iov_len = iov[i + (size_t)k].n;
    }
    ssize_t w = writev(fd, v, k);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0) return -1;
    size_t done = (size_t)w;
    while (i < n && done >= iov[i].n) done -= iov[i++].n;
    if (i < n) {
      iov[i].p = (const char *)iov[i].p + done;
      iov[i].n -= done;
    }
  }
  return 0;
}

/* Opens what is to be opened before a message of this size; ret: the file as it is then. */
static int make_ready(struct output *o, uint64_t bytes, int64_t now_ns, struct stat *ret, struct weir_error *err) {
  int r;
  if (o->fd < 0 && (r = output_open(o, 0, err))) return r;
  if (fstat(o->fd, ret)) return weir_fail(err, WEIR_E_IO, "cannot look at %s: %s", o->path, strerror(errno));
  if (!o->rotation || !S_ISREG(ret->st_mode)) return 0;
  if (was_replaced(o, ret)) {
    output_close(o);
    if ((r = output_open(o, 0, err))) return r;
    if (fstat(o->fd, ret)) return weir_fail(err, WEIR_E_IO, "cannot look at %s: %s", o->path, strerror(errno));
  }
  uint64_t limit = (o->rotation->max_megabytes ? o->rotation->max_megabytes : 100) << 20;
  if (ret->st_size == 0 || (uint64_t)ret->st_size + bytes <= limit) return 0;
  if ((r = rotate(o, now_ns / 1000000, err))) return r;
  return fstat(o->fd, ret) ? weir_fail(err, WEIR_E_IO, "cannot look at %s: %s", o->path, strerror(errno)) : 0;
}

int output_write(struct output *o, struct weir_iov *iov, size_t n, uint64_t bytes, int64_t now_ns, struct weir_error *err) {
  struct stat before;
  int r = make_ready(o, bytes, now_ns, &before, err);
  if (r) return r;
  if (write_all(o->fd, iov, n) == 0) return 0;
  r = weir_fail(err, WEIR_E_IO, "cannot write to %s: %s", o->path, strerror(errno));
  if (S_ISREG(before.st_mode) && ftruncate(o->fd, before.st_size)) output_close(o); /* a torn message stays: at least not inside of the next one's line */
  return r;
}
