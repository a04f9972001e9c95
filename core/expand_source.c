#include "core/expand_source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/nearest.h"

static const char *env_get(const char *name) { return getenv(name); }

/* Reads to the end, as what --config names may be a pipe. */
static int read_all(int fd, struct arena *a, const char *path, char **ret, size_t *ret_n, struct weir_error *err) {
  char *buf = malloc(YAML_TEXT_MAX + 1);
  size_t n = 0;
  ssize_t got = 1;
  WEIR_ASSERT(buf != NULL);
  while (got > 0 && n <= YAML_TEXT_MAX) {
    got = read(fd, buf + n, YAML_TEXT_MAX + 1 - n);
    if (got < 0 && errno == EINTR)
      got = 1;
    else if (got > 0)
      n += (size_t)got;
  }
  int e = errno;
  if (got >= 0 && n <= YAML_TEXT_MAX) *ret = arena_strndup(a, buf, n), *ret_n = n;
  free(buf);
  if (got < 0) return weir_fail(err, WEIR_E_IO, "cannot read %s: %s", path, strerror(e));
  if (n > YAML_TEXT_MAX) return weir_fail(err, WEIR_E_LIMIT, "%s is larger than %u MiB", path, YAML_TEXT_MAX >> 20);
  return 0;
}

static int file_read(struct arena *a, const char *path, char **ret, size_t *ret_n, struct weir_error *err) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    int e = errno;
    if (e == ENOENT && path[0] != '/')
      weir_hint(err, "a relative path starts at the working directory");
    else if (e == EACCES)
      weir_hint(err, "the user that weir runs as must be allowed to read it");
    return weir_fail(err, WEIR_E_IO, "cannot open %s: %s", path, strerror(e));
  }
  int rc;
  if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
    rc = weir_fail(err, WEIR_E_IO, "%s is a directory, not a file", path);
  else
    rc = read_all(fd, a, path, ret, ret_n, err);
  close(fd);
  return rc;
}

const struct source_io source_system = { env_get, file_read };

const char *source_split(struct arena *a, const char *uri, const char *dflt, const char **ret_rest) {
  size_t n = 0;
  while (isalnum((unsigned char)uri[n]) || (n > 0 && uri[n] && strchr("+.-", uri[n]))) n++;
  *ret_rest = uri;
  if (n < 2 || uri[n] != ':' || !isalpha((unsigned char)uri[0])) return dflt;
  *ret_rest = uri + n + 1;
  return arena_strndup(a, uri, n);
}

static int env_fetch(struct arena *a, const struct source_io *io, const char *name, struct source_text *ret, struct weir_error *err) {
  size_t n = 0;
  while (isalnum((unsigned char)name[n]) || name[n] == '_') n++;
  if (n == 0 || name[n] || isdigit((unsigned char)name[0])) {
    weir_hint(err, "write `$${%.40s}` if a plain `${%.40s}` is meant", name, name);
    return weir_fail(
      err, WEIR_E_INVALID, "environment variable \"%.100s\" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$", name);
  }
  const char *value = io->env(name);
  ret->set = value != NULL;
  ret->p = arena_strdup(a, value ? value : "");
  ret->n = strlen(ret->p);
  return 0;
}

static int file_fetch(struct arena *a, const struct source_io *io, const char *path, struct source_text *ret, struct weir_error *err) {
  char *text = NULL;
  if (!*path) return weir_fail(err, WEIR_E_INVALID, "`file:` needs a path");
  int rc = io->read_file(a, path, &text, &ret->n, err);
  if (rc) return rc;
  if (strlen(text) != ret->n) return weir_fail(err, WEIR_E_INVALID, "%s holds a NUL byte: it is not a text file", path);
  ret->p = text;
  ret->set = ret->is_file = 1;
  ret->name = path;
  return 0;
}

int source_fetch(
  struct arena *a, const struct source_io *io, const char *scheme, const char *rest, struct source_text *ret, struct weir_error *err) {
  static const char *const known[] = { "env", "file", "yaml" };
  *ret = (struct source_text){ .p = "", .name = rest };
  if (strcmp(scheme, "env") == 0) return env_fetch(a, io, rest, ret, err);
  if (strcmp(scheme, "file") == 0) return file_fetch(a, io, rest, ret, err);
  if (strcmp(scheme, "yaml") == 0) {
    *ret = (struct source_text){ .p = arena_strdup(a, rest), .n = strlen(rest), .set = 1, .name = "yaml:" };
    return 0;
  }
  struct nearest near;
  nearest_init(&near, scheme);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) nearest_offer(&near, known[i]);
  if (near.best)
    weir_hint(err, "did you mean `%s:`?", near.best);
  else
    weir_hint(err, "known are env:, file: and yaml:");
  return weir_fail(err, WEIR_E_UNSUPPORTED, "scheme \"%.40s\" is not supported for uri \"%.40s:%.100s\"", scheme, scheme, rest);
}
