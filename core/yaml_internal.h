/*
 * core/yaml_internal.h - shared by the files of core/yaml*.c and core/expand*.c only: the reader's state and places.
 *
 * libyaml counts characters and takes NEL, LS and PS for line ends; editors show columns of lines that end in \n. So places are made
 * from the character index: to a byte by a cursor (marks hardly go back, so this is linear), to line and column by a table of line starts.
 */
#ifndef CORE_YAML_INTERNAL_H
#define CORE_YAML_INTERNAL_H

#include <yaml.h>

#include "core/yaml.h"

struct cursor {
  size_t index, byte; /* characters and bytes behind yaml_reader.from */
};

struct anchor {
  const char *name;
  struct yaml_node *node; /* NULL while it is being read */
  struct anchor *next;
};

struct yaml_reader {
  yaml_parser_t parser;
  struct arena *arena;
  struct diags *ds;
  uint32_t file;
  const char *text; /* the whole file */
  size_t text_n;
  size_t from, to; /* what is parsed of it */
  struct cursor start, end;
  uint32_t *lines; /* byte offsets of line starts */
  size_t n_lines;
  struct anchor *anchors;
  uint32_t nodes, aliases, depth;
  int failed;
};

/* The place of bytes [from, to) of the file; cut at the end of the line. */
struct pos yaml_pos(const struct yaml_reader *, size_t from, size_t to);
/* The byte that a mark means. */
size_t yaml_byte(struct yaml_reader *, struct cursor *, size_t index);
/* As yaml_parse_part; *nodes is counted on, so that several texts share one limit. */
struct yaml_node *yaml_parse_counted(struct arena *, struct diags *, uint32_t file, size_t from, size_t n, uint32_t *nodes);
/* Tells what libyaml did not like, in terms of what the user most likely did. */
void yaml_syntax_error(struct yaml_reader *);
/* Looks at the source of an unquoted scalar for characters that look like spaces or quotes but are not; 1 when there is one. */
int yaml_check_plain(struct yaml_reader *, size_t from, size_t to);

/* Tells that `{{`, as templates have it, is not YAML, when it stands before or at `at` on its line; 1 when it does. */
int yaml_check_braces(struct yaml_reader *, size_t at);

#endif
