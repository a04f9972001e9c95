#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_panic(const char *expr, const char *file, int line, const char *func) {
  fprintf(stderr, "weir: panic: %s\n  at %s:%d in %s\n  This is a bug in weir or in a stage. Please report it with these lines.\n", expr, file, line,
    func);
  fflush(stderr);
  abort();
}
