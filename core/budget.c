#include "core/budget.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void budget_init(struct budget *b, uint64_t limit_bytes) {
  b->limit = limit_bytes;
  atomic_init(&b->used, 0);
  atomic_init(&b->refused, 0);
}

/* A cgroup file that holds one number; "max" and absent files are no limit. */
static uint64_t read_limit(const char *path) {
  FILE *f = fopen(path, "re");
  if (!f) return UINT64_MAX;
  uint64_t v = UINT64_MAX;
  if (fscanf(f, "%" SCNu64, &v) != 1) v = UINT64_MAX;
  fclose(f);
  return v;
}

/* The memory limit of our own cgroup: /proc/self/cgroup names it below the mount; inside a container the mount is the cgroup. */
static uint64_t cgroup_limit(void) {
  uint64_t least = read_limit("/sys/fs/cgroup/memory.max"), v = read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  if (v < least) least = v;
  FILE *f = fopen("/proc/self/cgroup", "re");
  if (!f) return least;
  char line[512], path[640];
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "0::", 3) == 0) {
      snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", line + 3);
    } else {
      char *rest = strstr(line, ":memory:");
      if (!rest) continue;
      snprintf(path, sizeof path, "/sys/fs/cgroup/memory%s/memory.limit_in_bytes", rest + 8);
    }
    v = read_limit(path);
    if (v < least) least = v;
  }
  fclose(f);
  return least;
}

uint64_t budget_total(void) {
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  uint64_t limit = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : (uint64_t)1 << 30;
  uint64_t cg = cgroup_limit();
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
