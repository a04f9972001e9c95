/* The test vectors of RFC 3720, B.4; the instruction against the tables on every length and alignment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/crc32c.h"

static void both(const void *p, size_t n, uint32_t expected) {
  assert_int_equal(crc32c(0, p, n), expected);
  assert_int_equal(crc32c_portable(0, p, n), expected);
}

static void vectors_of_the_rfc(void **state) {
  (void)state;
  unsigned char b[32];
  static const unsigned char read_command[48] = { 0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0,
    0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02 };
  memset(b, 0, sizeof b);
  both(b, 32, 0x8a9136aau);
  memset(b, 0xff, sizeof b);
  both(b, 32, 0x62a8ab43u);
  for (unsigned char i = 0; i < 32; i++) b[i] = i;
  both(b, 32, 0x46dd794eu);
  for (unsigned char i = 0; i < 32; i++) b[i] = (unsigned char)(31 - i);
  both(b, 32, 0x113fdb5cu);
  both(read_command, 48, 0xd9963a56u);
  both("123456789", 9, 0xe3069283u);
  both("", 0, 0);
}

static void lengths_alignments_and_pieces(void **state) {
  (void)state;
  static unsigned char b[10000];
  uint32_t x = 1;
  for (size_t i = 0; i < sizeof b; i++) b[i] = (unsigned char)((x = x * 1664525u + 1013904223u) >> 24);
  for (size_t n = 0; n < sizeof b - 8; n += n < 100 ? 1 : 61)
    for (size_t at = 0; at < 8; at += n < 100 ? 1 : 3) {
      uint32_t whole = crc32c_portable(0, b + at, n);
      assert_int_equal(crc32c(0, b + at, n), whole);
      assert_int_equal(crc32c(crc32c(0, b + at, n / 3), b + at + n / 3, n - n / 3), whole);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(vectors_of_the_rfc),
    cmocka_unit_test(lengths_alignments_and_pieces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
