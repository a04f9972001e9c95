/*
 * plugins/kit/query.h - the query string of a URL (what stands behind `?`), read as Go's url.ParseQuery reads it: name=value between `&`, percent-decoded,
 * `+` is a space. A part with `;` or a broken escape is passed over. [any]
 */
#ifndef KIT_QUERY_H
#define KIT_QUERY_H

#include <weir/data.h>

/* The first value of `name`, decoded into buf. 1: found; 0: not there; -1: longer than cap. */
int kit_query_get(struct weir_str query, const char *name, char *buf, size_t cap, struct weir_str *ret);

#endif
