/*
 * core/otlp_encode.h - the encoder with a guess of the result's size, for those who know what the message was.
 */
#ifndef CORE_OTLP_ENCODE_H
#define CORE_OTLP_ENCODE_H

#include "core/otlp.h"

#define OTLP_VALUE_DEPTH 64u /* how deep an encoded AnyValue may be; what was received is copied, not encoded */

/* As otlp_encode; a guess that is too small costs a copy. */
int otlp_encode_sized(const struct weir_data *, struct arena *, size_t guess, const char **ret_p, size_t *ret_n, struct weir_error *);

#endif
