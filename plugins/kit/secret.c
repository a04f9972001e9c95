#include "plugins/kit/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int kit_secret_equal(const void *a, size_t a_n, const void *b, size_t b_n) {
  const volatile unsigned char *x = a, *y = b;
  unsigned char differs = 0;
  if (a_n != b_n) return 0;
  for (size_t i = 0; i < a_n; i++) differs |= (unsigned char)(x[i] ^ y[i]);
  return differs == 0;
}

void kit_secret_free(char *p, size_t n) {
  if (!p) return;
  explicit_bzero(p, n);
  free(p);
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

static int is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'; }

static int read_all(int fd, char *buf, size_t cap, size_t *ret_n) {
  size_t n = 0;
  while (n < cap) {
    ssize_t r = read(fd, buf + n, cap - n);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) return -1;
    if (r == 0) break;
    n += (size_t)r;
  }
  *ret_n = n;
  return 0;
}

static int read_open(struct kit_secret_file *f, int fd, char **ret, size_t *ret_n, struct weir_error *err) {
  struct stat st;
  if (fstat(fd, &st)) return weir_fail(err, WEIR_E_IO, "cannot read %s: %s", f->path, strerror(errno));
  if (!S_ISREG(st.st_mode)) return weir_fail(err, WEIR_E_IO, "%s is no file", f->path);
  int64_t mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
  if (!f->failing && mtime_ns == f->mtime_ns && (uint64_t)st.st_size == f->size && st.st_ino == f->inode && st.st_dev == f->device) return 0;
  char *buf = malloc(KIT_SECRET_MAX + 1);
  size_t n = 0, skip = 0;
  if (!buf) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  int code = read_all(fd, buf, KIT_SECRET_MAX + 1, &n) ? weir_fail(err, WEIR_E_IO, "cannot read %s: %s", f->path, strerror(errno))
           : n > KIT_SECRET_MAX ? weir_fail(err, WEIR_E_LIMIT, "%s is over %u bytes, which is no file of secrets", f->path, KIT_SECRET_MAX) : 1;
  if (code < 0) {
    kit_secret_free(buf, KIT_SECRET_MAX + 1);
    return code;
  }
  while (n && is_space(buf[n - 1])) n--;
  while (skip < n && is_space(buf[skip])) skip++;
  *ret = malloc(n - skip + 1);
  if (*ret) {
    memcpy(*ret, buf + skip, n - skip);
    (*ret)[n - skip] = 0;
    *ret_n = n - skip;
    f->mtime_ns = mtime_ns;
    f->size = (uint64_t)st.st_size;
    f->inode = st.st_ino;
    f->device = st.st_dev;
  }
  kit_secret_free(buf, KIT_SECRET_MAX + 1);
  return *ret ? 1 : weir_fail(err, WEIR_E_NOMEM, "no memory");
}

int kit_secret_read(struct kit_secret_file *f, char **ret, size_t *ret_n, struct weir_error *err) {
  int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  int code = fd < 0 ? weir_fail(err, WEIR_E_IO, "cannot open %s: %s", f->path, strerror(errno)) : read_open(f, fd, ret, ret_n, err);
  if (fd >= 0) close(fd);
  f->failing = code < 0;
  return code;
}

/* --- publishing -------------------------------------------------------------------------------------------------------- */

struct kit_retired {
  void *value;
  struct kit_retired *next;
};

const void *kit_published_enter(struct kit_published *p) {
  atomic_fetch_add(&p->readers, 1);
  return atomic_load(&p->now);
}

void kit_published_leave(struct kit_published *p) { atomic_fetch_sub(&p->readers, 1); }

void kit_published_set(struct kit_published *p, void *value) {
  struct kit_retired *r = malloc(sizeof *r);
  if (!r) abort();
  r->value = atomic_exchange(&p->now, value);
  r->next = p->retired;
  p->retired = r;
  kit_published_sweep(p);
}

static void free_retired(struct kit_published *p) {
  while (p->retired) {
    struct kit_retired *r = p->retired;
    p->retired = r->next;
    if (r->value) p->free(r->value);
    free(r);
  }
}

void kit_published_sweep(struct kit_published *p) {
  if (p->retired && atomic_load(&p->readers) == 0) free_retired(p);
}

void kit_published_done(struct kit_published *p) {
  kit_published_set(p, NULL);
  free_retired(p);
}
