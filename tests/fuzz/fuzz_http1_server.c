/* HTTP/1.1 requests on a server's connection: any bytes, in pieces of any size, with answers at once and late. */
#include "tests/fuzz/http_fuzz_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  fuzz_switches = data[1];
  serve(data + 2, size - 2, data[0]);
  return 0;
}
