#include "core/holder.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The inode of the socket that listens on this TCP port, from /proc; 0 = not found. */
static unsigned long listening_inode(const char *table, int port) {
  FILE *f = fopen(table, "re");
  char line[512], addr[64];
  unsigned long inode = 0;
  if (!f) return 0;
  while (!inode && fgets(line, sizeof line, f)) {
    unsigned int p, state;
    unsigned long in;
    if (sscanf(line, " %*d: %63[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %lu", addr, &p, &state, &in) == 4 && (int)p == port && state == 10) inode = in;
  }
  fclose(f);
  return inode;
}

static int holds_socket(const char *pid, unsigned long inode) {
  char path[320], link[64], want[64];
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  snprintf(want, sizeof want, "socket:[%lu]", inode);
  DIR *dir = opendir(path);
  int found = 0;
  if (!dir) return 0;
  for (struct dirent *e; !found && (e = readdir(dir));) {
    ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof link - 1);
    if (n < 0) continue;
    link[n] = 0;
    found = strcmp(link, want) == 0;
  }
  closedir(dir);
  return found;
}

/* The same of a unix socket. A path has several when others were there before: the one that listens has __SO_ACCEPTCON among its flags. */
static unsigned long unix_inode(const char *path) {
  FILE *f = fopen("/proc/net/unix", "re");
  char line[512];
  unsigned long inode = 0;
  if (!f) return 0;
  while (!inode && fgets(line, sizeof line, f)) {
    unsigned int flags;
    unsigned long in;
    int at = 0;
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "%*s %*s %*s %x %*s %*s %lu %n", &flags, &in, &at) == 2 && at && flags & 0x10000u && strcmp(line + at, path) == 0) inode = in;
  }
  fclose(f);
  return inode;
}

void holder_name(const char *path, int port, char *buf, size_t cap) {
  unsigned long inode = path ? unix_inode(path) : listening_inode("/proc/net/tcp", port);
  if (!inode && !path) inode = listening_inode("/proc/net/tcp6", port);
  snprintf(buf, cap, "another process");
  DIR *proc = inode ? opendir("/proc") : NULL;
  if (!proc) return;
  for (struct dirent *e; (e = readdir(proc));) {
    char file[320], comm[64] = "";
    if (e->d_name[0] < '1' || e->d_name[0] > '9' || !holds_socket(e->d_name, inode)) continue;
    snprintf(file, sizeof file, "/proc/%s/comm", e->d_name);
    FILE *f = fopen(file, "re");
    if (f && fgets(comm, sizeof comm, f)) comm[strcspn(comm, "\n")] = 0;
    if (f) fclose(f);
    snprintf(buf, cap, "%.40s (pid %.20s)", *comm ? comm : "another process", e->d_name);
    break;
  }
  closedir(proc);
}
