/*
 * plugins/schema_internal.h - shared by plugins/schema*.c only: where binding stands, and how it says that a value is wrong.
 */
#ifndef PLUGINS_SCHEMA_INTERNAL_H
#define PLUGINS_SCHEMA_INTERNAL_H

#include "plugins/schema.h"

/* One level of keys: the component itself, or a group in it. */
struct level {
  const struct level *up;
  struct arena *arena;
  struct diags *ds;
  const char *what; /* exporter `otlp` */
  const char *path; /* "protocols.grpc"; "" for the component itself */
  struct pos at;    /* of the key that this level stands below */
  const struct schema_binding *bindings;
  size_t n_bindings;
  int depth;
  int broken; /* the mapping could not be read, which was told: what is missing is not */
};

/* A value being bound. */
struct slot {
  const struct level *level;
  const struct weir_field *f;
  const char *path; /* dotted, with the field's name */
  const struct yaml_node *key, *node;
  void *out;
};

/* Binds one scalar that is not a string (BOOL .. BYTES, ENUM) and checks its range. */
void schema_bind_scalar(const struct slot *);
/* "`path` of exporter `x`: expected EXPECTED, got ...", with fix behind the caret (NULL = none) and the field's doc below. */
void schema_wrong(const struct slot *, const struct yaml_node *, const char *expected, const char *fix);
/* One line of the field's doc as a note. */
void schema_note_doc(const struct slot *);
/* Whether text, a value of the field, is outside of its min and max. */
int schema_out_of_range(const struct weir_field *, const char *text);
/* What the user should write instead of this text, for the field's type; NULL when nothing better is known. */
const char *schema_fix(const struct slot *, const struct yaml_node *);

#endif
