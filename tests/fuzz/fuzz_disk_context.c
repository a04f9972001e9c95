/* What a record on disk says beside its data: whatever is read can be written again, to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/disk_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct disk_context c;
  char *p = malloc(size + 1), *again;
  must(p != NULL);
  p[size] = 0;
  if (size) memcpy(p, data, size);
  if (disk_context_read(p, size, &c) == 0 && size <= SPOOL_CONTEXT_MAX) {
    const struct weir_str *reason = c.reason.p ? &c.reason : NULL;
    size_t n = disk_context_size(reason, &c.message, c.context);
    must(n == size || (n == 0 && size == 2)); /* two bytes may say that there is nothing */
    again = malloc(n + 1);
    must(again != NULL);
    disk_context_write(reason, &c.message, c.context, again);
    must(memcmp(again, p, n) == 0);
    free(again);
  }
  free(p);
  return 0;
}
