#include "core/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int is_virtual;
static _Atomic int64_t virtual_mono, virtual_unix;

static int64_t read_clock(clockid_t id) {
  struct timespec ts;
  clock_gettime(id, &ts);
  return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_mono_ns(void) { return is_virtual ? virtual_mono : read_clock(CLOCK_MONOTONIC); }

int64_t clock_unix_ns(void) { return is_virtual ? virtual_unix : read_clock(CLOCK_REALTIME); }

void clock_set_virtual(int64_t mono_ns, int64_t unix_ns) {
  virtual_mono = mono_ns;
  virtual_unix = unix_ns;
  is_virtual = 1;
}

void clock_advance(int64_t ns) {
  virtual_mono += ns;
  virtual_unix += ns;
}
