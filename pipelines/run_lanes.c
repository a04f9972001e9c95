#include "pipelines/run.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/parse.h"

/* How many CPUs the process may use: the quota of its cgroups (v2 cpu.max, v1 cpu.cfs_quota_us), else its affinity. */

static uint32_t cpus_of(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return 0;
  int64_t cpus = quota / period + (quota % period != 0);
  return cpus > RUN_LANES_MAX ? RUN_LANES_MAX : (uint32_t)cpus;
}

uint32_t run_quota_cpus(const char *cpu_max) {
  char quota[32], period[32];
  int64_t q, p;
  if (sscanf(cpu_max, "%31s %31s", quota, period) != 2 || parse_i64(quota, &q) || parse_i64(period, &p)) return 0;
  return cpus_of(q, p);
}

static int read_text(const char *path, char *buf, size_t cap) {
  FILE *f = fopen(path, "re");
  if (!f) return -1;
  size_t n = fread(buf, 1, cap - 1, f);
  fclose(f);
  buf[n] = 0;
  return 0;
}

static uint32_t least(uint32_t a, uint32_t b) { return a == 0 ? b : b == 0 || a < b ? a : b; }

/* The group itself and all above it: the tightest counts. */
static uint32_t v2_quota(const char *group) {
  char path[600], dir[400], text[80];
  uint32_t cpus = 0;
  snprintf(dir, sizeof dir, "%s", group);
  for (;;) {
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", strcmp(dir, "/") ? dir : "");
    if (read_text(path, text, sizeof text) == 0) cpus = least(cpus, run_quota_cpus(text));
    char *slash = strrchr(dir, '/');
    if (!slash || !*dir) return cpus;
    *slash = 0;
  }
}

static uint32_t v1_quota(const char *group) {
  char path[600], quota[32], period[32], both[80];
  for (int top = 0; top < 2; top++) { /* in a container the group's own path is not mounted: the top is the group */
    const char *g = top || !strcmp(group, "/") ? "" : group;
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", g);
    if (read_text(path, quota, sizeof quota)) continue;
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", g);
    if (read_text(path, period, sizeof period)) continue;
    snprintf(both, sizeof both, "%s %s", quota, period);
    return run_quota_cpus(both);
  }
  return 0;
}

/* Lines of /proc/self/cgroup: "0::/group" (v2), "4:cpu,cpuacct:/group" (v1). */
static uint32_t cgroup_cpus(void) {
  char line[512];
  uint32_t cpus = 0;
  FILE *f = fopen("/proc/self/cgroup", "re");
  if (!f) return 0;
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    *group++ = 0;
    controllers++;
    if (!*controllers)
      cpus = least(cpus, v2_quota(group));
    else if (!strcmp(controllers, "cpu") || !strncmp(controllers, "cpu,", 4))
      cpus = least(cpus, v1_quota(group));
  }
  fclose(f);
  return cpus;
}

uint32_t run_default_lanes(void) {
  cpu_set_t set;
  uint32_t online = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) online = (uint32_t)CPU_COUNT(&set);
  uint32_t n = least(cgroup_cpus(), online);
  return n == 0 ? 1 : n > RUN_LANES_MAX ? RUN_LANES_MAX : n;
}
