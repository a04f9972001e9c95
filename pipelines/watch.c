#include "pipelines/watch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/log.h"

#define LINKS_MAX 16 /* on the way to one file */
#define DIRS_MAX 256

struct watch {
  struct loop *loop;
  char **files;
  size_t n_files;
  int64_t debounce_ns;
  uint64_t known;
  weir_fn_f *changed;
  void *arg;
  struct timer timer;
  uv_fs_event_t *events[DIRS_MAX];
  char *dirs[DIRS_MAX];
  size_t n_dirs;
};

/* --- identity ---------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 1099511628211u; }

uint64_t watch_identity(const char *const *files, size_t n) {
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < n; i++) {
    struct stat st;
    if (stat(files[i], &st)) {
      h = mix(h, 1);
      continue;
    }
    h = mix(mix(h, (uint64_t)st.st_dev), (uint64_t)st.st_ino);
    h = mix(mix(h, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec);
    h = mix(h, (uint64_t)st.st_mtim.tv_nsec);
  }
  return h ? h : 1;
}

/* --- folders -------------------------------------------------------------------------------------------------- */

static void settled(void *arg) {
  struct watch *w = arg;
  uint64_t now = watch_identity((const char *const *)w->files, w->n_files);
  if (now == w->known) return;
  w->known = now;
  w->changed(w->arg); /* last: it may stop the watch */
}

static void on_event(uv_fs_event_t *e, const char *name, int events, int status) {
  struct watch *w = e->data;
  (void)name;
  (void)events;
  (void)status;
  if (w) timer_set(w->loop, &w->timer, w->debounce_ns);
}

static void free_event(uv_handle_t *h) { free(h); }

static void watch_dir(struct watch *w, const char *dir) {
  for (size_t i = 0; i < w->n_dirs; i++)
    if (strcmp(w->dirs[i], dir) == 0) return;
  if (w->n_dirs == DIRS_MAX) return;
  uv_fs_event_t *e = calloc(1, sizeof *e);
  WEIR_ASSERT(e != NULL);
  uv_fs_event_init(&w->loop->uv, e);
  e->data = w;
  int r = uv_fs_event_start(e, on_event, dir, 0);
  if (r) {
    log_warn("weir", "service.reload.watch: cannot watch %s: %s", dir, uv_strerror(r));
    uv_close((uv_handle_t *)e, free_event);
    return;
  }
  w->events[w->n_dirs] = e;
  w->dirs[w->n_dirs++] = strdup(dir);
}

static void dir_of(const char *path, char *dir) {
  const char *slash = strrchr(path, '/');
  size_t n = !slash || slash == path ? 1 : (size_t)(slash - path);
  memcpy(dir, slash ? path : ".", n);
  dir[n] = 0;
}

/* The folder of the path, and of what each link on the way points to. */
static void watch_path(struct watch *w, const char *file) {
  char path[PATH_MAX], dir[PATH_MAX], target[PATH_MAX];
  if (strlen(file) >= sizeof path) return;
  memcpy(path, file, strlen(file) + 1);
  for (int i = 0; i < LINKS_MAX; i++) {
    dir_of(path, dir);
    watch_dir(w, dir);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0) return;
    target[n] = 0;
    char next[2 * PATH_MAX];
    int len = *target == '/' ? snprintf(next, sizeof next, "%s", target) : snprintf(next, sizeof next, "%s/%s", dir, target);
    if (len < 0 || (size_t)len >= sizeof path) return;
    memcpy(path, next, (size_t)len + 1);
  }
}

struct watch *watch_start(
  struct loop *loop, const char *const *files, size_t n, int64_t debounce_ns, uint64_t known, weir_fn_f *changed, void *arg) {
  struct watch *w = calloc(1, sizeof *w);
  WEIR_ASSERT(w != NULL);
  *w = (struct watch){ .loop = loop, .debounce_ns = debounce_ns, .known = known, .changed = changed, .arg = arg };
  w->files = calloc(n + 1, sizeof *w->files);
  WEIR_ASSERT(w->files != NULL);
  for (; w->n_files < n; w->n_files++) {
    w->files[w->n_files] = strdup(files[w->n_files]);
    WEIR_ASSERT(w->files[w->n_files] != NULL);
    watch_path(w, files[w->n_files]);
  }
  w->timer.fn = settled;
  w->timer.arg = w;
  timer_set(loop, &w->timer, debounce_ns); /* what changed before the folders were watched */
  return w;
}

void watch_stop(struct watch *w) {
  if (!w) return;
  timer_cancel(w->loop, &w->timer);
  for (size_t i = 0; i < w->n_dirs; i++) {
    w->events[i]->data = NULL;
    uv_close((uv_handle_t *)w->events[i], free_event);
    free(w->dirs[i]);
  }
  for (size_t i = 0; i < w->n_files; i++) free(w->files[i]);
  free(w->files);
  free(w);
}
