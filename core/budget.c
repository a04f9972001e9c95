#include "core/budget.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/parse.h"

#define CGROUP_PATH_MAX 4352u /* a line of /proc/self/cgroup: PATH_MAX and the controllers */

void budget_init(struct budget *b, uint64_t limit_bytes) {
  b->limit = limit_bytes;
  atomic_init(&b->used, 0);
  atomic_init(&b->refused, 0);
}

/* A file that holds one number. "max", no file and what is no number are no limit. */
static uint64_t read_limit(const char *path) {
  char text[64];
  uint64_t v = UINT64_MAX;
  FILE *f = fopen(path, "re");
  if (!f) return v;
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  text[strcspn(text, "\n")] = 0;
  return parse_u64(text, &v) ? UINT64_MAX : v;
}

/* The group and all above it, up to what is mounted at `mount`: the tightest counts. Inside a container the group's own path may not be there; then the mount is the group, or
 * one above it. `group` is cut. */
static uint64_t least_upwards(const char *mount, char *group, const char *file) {
  char path[CGROUP_PATH_MAX + 256];
  uint64_t least = UINT64_MAX;
  if (strstr(group, "/..")) *group = 0; /* outside this cgroup namespace */
  for (size_t n = strlen(group); n && group[n - 1] == '/';) group[--n] = 0;
  for (char *slash = group; slash;) {
    snprintf(path, sizeof path, "%s%s/%s", mount, group, file);
    uint64_t v = read_limit(path);
    if (v < least) least = v;
    slash = strrchr(group, '/');
    if (slash) *slash = 0;
  }
  return least;
}

static int is_memory(const char *controllers) {
  for (const char *c = controllers; c; c = strchr(c, ',')) {
    if (*c == ',') c++;
    if (strncmp(c, "memory", 6) == 0 && (c[6] == 0 || c[6] == ',')) return 1;
  }
  return 0;
}

/* One of /proc/self/cgroup's lines: "0::/group" (v2), "4:memory:/group" (v1). */
static uint64_t limit_of_line(const char *root, char *line) {
  char mount[256];
  line[strcspn(line, "\n")] = 0;
  char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
  if (!group) return UINT64_MAX;
  *group++ = 0;
  controllers++;
  if (*controllers && !is_memory(controllers)) return UINT64_MAX;
  snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, *controllers ? "/memory" : "");
  return least_upwards(mount, group, *controllers ? "memory.limit_in_bytes" : "memory.max");
}

uint64_t budget_cgroup_limit(const char *root) {
  char line[CGROUP_PATH_MAX], path[256];
  uint64_t least = UINT64_MAX;
  snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
  FILE *f = fopen(path, "re");
  if (f) {
    while (fgets(line, sizeof line, f)) {
      uint64_t v = limit_of_line(root, line);
      if (v < least) least = v;
    }
    fclose(f);
    return least;
  }
  char v2[] = "0::/", v1[] = "0:memory:/"; /* no /proc: what is mounted */
  least = limit_of_line(root, v2);
  uint64_t v = limit_of_line(root, v1);
  return v < least ? v : least;
}

uint64_t budget_total(void) {
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  uint64_t limit = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : (uint64_t)1 << 30;
  uint64_t cg = budget_cgroup_limit("");
  if (cg < limit) limit = cg;
  return limit ? limit : 1;
}

uint64_t budget_default_limit(void) { return budget_total() / 10 * 8; }

int budget_take(struct budget *b, uint64_t n) {
  uint64_t used = atomic_fetch_add_explicit(&b->used, n, memory_order_relaxed);
  if (b->limit == 0 || (n <= b->limit && used <= b->limit - n)) return 1;
  atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
  atomic_fetch_add_explicit(&b->refused, 1, memory_order_relaxed);
  return 0;
}

void budget_give(struct budget *b, uint64_t n) { atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed); }

int budget_has_room(const struct budget *b, uint64_t n) {
  uint64_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
  return b->limit == 0 || (n <= b->limit && used <= b->limit - n);
}
