/* Bodies in each encoding, chosen by the first byte: within the limit, and what came out survives being packed again. */
#include <stdlib.h>
#include <string.h>

#include "core/compress.h"

#define LIMIT (256u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const encodings[] = { "gzip", "zstd", "deflate", "snappy", "x-snappy-framed" };
  static struct budget budget;
  if (size == 0) return 0;
  const char *encoding = encodings[data[0] % 5];
  struct weir_body *body = NULL, *packed = NULL, *again = NULL;
  struct weir_error err = { 0 };
  budget_init(&budget, 8 * LIMIT);
  struct pool *pool = pool_new(&budget);
  char *exact = malloc(size); /* so that a read past the end is seen */
  memcpy(exact, data + 1, size - 1);
  exact = realloc(exact, size > 1 ? size - 1 : 1);
  if (compress_inflate(pool, weir_str_of(encoding), exact, size - 1, LIMIT, 0, &body, &err)) {
    must(body == NULL && err.msg[0] != 0 && err.code != WEIR_E_UNSUPPORTED);
  } else {
    struct weir_iov iov = { body->p, body->n };
    must(body->n <= LIMIT);
    must(compress_deflate(pool, encoding, 1, &iov, 1, &packed, &err) == 0);
    must(compress_inflate(pool, weir_str_of(encoding), packed->p, packed->n, LIMIT, 0, &again, &err) == 0);
    must(again->n == body->n && memcmp(again->p, body->p, body->n) == 0);
    body_free(again);
    body_free(packed);
    body_free(body);
  }
  free(exact);
  pool_free(pool);
  must(atomic_load(&budget.used) == 0);
  return 0;
}
