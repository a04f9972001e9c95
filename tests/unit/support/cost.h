/*
 * What work costs, for tests that it grows no faster than its input: never a bound in seconds, which a slow or instrumented build breaks.
 *
 * The CPU time of the work on four times the input is compared with that on the input: about 4 when it is linear, 16 when it is quadratic.
 */
#ifndef TEST_COST_H
#define TEST_COST_H

#include <time.h>

typedef void cost_work_f(void *arg, size_t n);

/* CPU seconds of this process, the least of three runs: others on the machine make a run dearer, never cheaper. */
static inline double cost_of(cost_work_f *work, void *arg, size_t n) {
  double least = 0;
  for (int i = 0; i < 3; i++) {
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    work(arg, n);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    double took = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    if (!i || took < least) least = took;
  }
  return least;
}

#define assert_cost_in_proportion(work, arg, n)                                                  \
  do {                                                                                           \
    double cost_few = cost_of(work, arg, n), cost_many = cost_of(work, arg, 4 * (size_t)(n));     \
    if (cost_many > 10 * cost_few) {                                                             \
      print_error("%s:%d: four times the input took %.1f times the CPU (%.0f ms, %.0f ms)\n", __FILE__, __LINE__, cost_many / cost_few, \
        cost_few * 1e3, cost_many * 1e3);                                                        \
      fail();                                                                                    \
    }                                                                                            \
  } while (0)

#endif
