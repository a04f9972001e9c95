/*
 * core/assert.h - asserts that stay on in production, for our own bugs, never for input.
 *
 * WEIR_ASSERT prints a panic report (expression, place, stage if known) and aborts. A struct that crosses `void *`
 * carries a magic number as its first member, checked by CAST_MAGIC.
 */
#ifndef CORE_ASSERT_H
#define CORE_ASSERT_H

_Noreturn void assert_panic(const char *expr, const char *file, int line, const char *func);

#define WEIR_ASSERT(e) ((e) ? (void)0 : assert_panic(#e, __FILE__, __LINE__, __func__))
#define CHECK_MAGIC(p, m) WEIR_ASSERT((p) != NULL && (p)->magic == (m))

#endif
