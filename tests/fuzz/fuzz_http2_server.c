/* HTTP/2 frames on a server's connection. The preface and an empty SETTINGS frame come first unless a switch says no; with another switch a frame that is
 * longer than what is left is cut to it, so that what mutations make is mostly frames. */
#include "tests/fuzz/http_fuzz_server.h"

#define NO_PREFACE 64u
#define FITTING_FRAMES 32u
#define FRAME_HEADER 9u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char begin[] = HTTP_PREFACE "\0\0\0\4\0\0\0\0\0";

static void fit_frames(uint8_t *p, size_t n) {
  while (n >= FRAME_HEADER) {
    size_t length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2], left = n - FRAME_HEADER;
    if (length > left) {
      length = left;
      p[0] = (uint8_t)(length >> 16), p[1] = (uint8_t)(length >> 8), p[2] = (uint8_t)length;
    }
    p += FRAME_HEADER + length;
    n -= FRAME_HEADER + length;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  size_t head = data[1] & NO_PREFACE ? 0 : sizeof begin - 1, n = head + size - 2;
  uint8_t *all = malloc(n ? n : 1);
  WEIR_ASSERT(all != NULL);
  if (head) memcpy(all, begin, head);
  if (size > 2) memcpy(all + head, data + 2, size - 2);
  if (data[1] & FITTING_FRAMES) fit_frames(all + head, size - 2);
  fuzz_switches = data[1];
  serve(all, n, data[0]);
  free(all);
  return 0;
}
