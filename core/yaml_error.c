/* What libyaml refuses, told in terms of what the user most likely did. That is found on the source lines around the place, as libyaml
 * only knows tokens. */
#include <stdio.h>
#include <string.h>

#include "core/yaml_internal.h"

/* A source line: bytes [from, to) of the file, its first non-space at `text`. */
struct line {
  size_t from, to, text;
};

static struct line line_at(const struct yaml_reader *r, size_t number) {
  struct line l = { r->lines[number], number + 1 < r->n_lines ? r->lines[number + 1] - 1u : r->text_n, 0 };
  if (l.to > l.from && r->text[l.to - 1] == '\r') l.to--;
  for (l.text = l.from; l.text < l.to && r->text[l.text] == ' ';) l.text++;
  return l;
}

static size_t line_of(const struct yaml_reader *r, size_t byte) { return yaml_pos(r, byte, byte).line - 1; }

static int is_blank(const struct yaml_reader *r, struct line l) { return l.text == l.to || r->text[l.text] == '#'; }

/* The nearest line above with something on it; 0 when there is none. */
static int line_above(const struct yaml_reader *r, size_t number, struct line *ret) {
  while (number-- > 0) {
    *ret = line_at(r, number);
    if (!is_blank(r, *ret)) return 1;
  }
  return 0;
}

static int is_key_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '/' || c == '.';
}

/* Where in [from, to) a key's colon stands: first ':' behind key characters; `to` when none. */
static size_t colon_after_key(const struct yaml_reader *r, size_t from, size_t to) {
  size_t i = from;
  while (i < to && is_key_char(r->text[i])) i++;
  return i > from && i < to && r->text[i] == ':' ? i : to;
}

static int space_at(const struct yaml_reader *r, size_t i, size_t to) { return i >= to || r->text[i] == ' '; }

static void say(struct yaml_reader *r, size_t from, size_t to, const char *msg) { diag_error(r->ds, yaml_pos(r, from, to), "%s", msg); }

/* `key:value`; the value of a whole line, or what stands behind its dash. */
static int missing_space(struct yaml_reader *r, struct line l) {
  size_t from = l.text, colon;
  while (from + 1 < l.to && r->text[from] == '-' && r->text[from + 1] == ' ') from += 2;
  colon = colon_after_key(r, from, l.to);
  if (colon == l.to || space_at(r, colon + 1, l.to)) return 0;
  say(r, from, l.to, "a space is missing after the colon");
  diag_caret(r->ds, "put a space after `%.*s:`", colon - from > 60 ? 60 : (int)(colon - from), r->text + from);
  return 1;
}

static int missing_colon(struct yaml_reader *r, struct line l) {
  if (memchr(r->text + l.text, ':', l.to - l.text)) return 0;
  diag_error(r->ds, yaml_pos(r, l.text, l.to), "a colon is missing after the key `%.*s`", l.to - l.text > 60 ? 60 : (int)(l.to - l.text),
    r->text + l.text);
  diag_caret(r->ds, "every key needs a `:` behind it");
  return 1;
}

static int tab_in_indent(struct yaml_reader *r, size_t first, size_t last) {
  for (size_t n = first; n <= last; n++) {
    struct line l = line_at(r, n);
    size_t i = l.from;
    while (i < l.to && (r->text[i] == ' ' || (r->text[i] == '-' && space_at(r, i + 1, l.to)))) i++;
    if (i >= l.to || r->text[i] != '\t') continue;
    size_t end = i;
    while (end < l.to && r->text[end] == '\t') end++;
    say(r, i, end, "a tab is used for indentation");
    diag_caret(r->ds, "use spaces, two for each level");
    return 1;
  }
  return 0;
}

/* Two ": " on one line. */
static int second_colon(struct yaml_reader *r, size_t at, struct line l) {
  size_t from = l.text;
  while (from + 1 < l.to && r->text[from] == '-' && r->text[from + 1] == ' ') from += 2;
  size_t colon = colon_after_key(r, from, l.to);
  if (colon >= at || !space_at(r, colon + 1, l.to)) return 0;
  size_t value = colon + 1;
  while (value < l.to && r->text[value] == ' ') value++;
  say(r, value, l.to, "a value that holds `: ` must be in quotes");
  diag_caret(r->ds, "put it in single quotes: '...'");
  return 1;
}

static void bad_colon(struct yaml_reader *r, size_t at) {
  size_t number = line_of(r, at);
  struct line l = line_at(r, number), above;
  if (yaml_check_plain(r, l.text, l.to) || second_colon(r, at, l)) return;
  if (line_above(r, number, &above)) {
    if (yaml_check_plain(r, above.text, above.to) || missing_space(r, above) || missing_colon(r, above)) return;
    if (l.text - l.from > above.text - above.from) {
      say(r, l.text, at, "this line is indented deeper than the line above, which has a value already");
      diag_caret(r->ds, "begin it in column %zu, or remove the value above", above.text - above.from + 1);
      return;
    }
  }
  say(r, l.text, at, "a key is not possible here");
  diag_caret(r->ds, "check the indentation and the quotes of the lines above");
}

/* The two columns that a line between them may have meant: those of the lines above that are indented more and less. */
static void hint_columns(struct yaml_reader *r, size_t number) {
  struct line l = line_at(r, number), above;
  size_t indent = l.text - l.from, deeper = 0, deeper_line = 0;
  while (line_above(r, number, &above)) {
    size_t i = above.text - above.from;
    number = line_of(r, above.from);
    if (i > indent && (deeper == 0 || i < deeper)) deeper = i, deeper_line = number;
    if (i >= indent) continue;
    if (deeper)
      diag_caret(r->ds, "begin it in column %zu as line %zu, or in column %zu as line %zu", i + 1, number + 1, deeper + 1, deeper_line + 1);
    else
      diag_caret(r->ds, "begin it in column %zu as line %zu", i + 1, number + 1);
    return;
  }
}

static void bad_indent(struct yaml_reader *r, size_t at) {
  size_t number = line_of(r, at);
  struct line l = line_at(r, number);
  if (at < l.to && r->text[at] == ':') {
    say(r, at, at + 1, "a key is missing before the `:`");
  } else if (at > l.text) {
    say(r, at, l.to, "unexpected text behind a value");
    diag_caret(r->ds, "put the whole value in quotes, or begin a new line");
  } else if (l.to - l.text >= 2 && r->text[l.text] == '-' && r->text[l.text + 1] == ' ') {
    say(r, l.text, l.to, "a list item stands among the keys of a mapping");
    diag_caret(r->ds, "indent it below the key that it belongs to");
  } else {
    say(r, l.text, l.to, "the indentation of this line fits nothing above it");
    hint_columns(r, number);
  }
}

static void bad_item(struct yaml_reader *r, size_t at, size_t context) {
  struct pos start = yaml_pos(r, context, context);
  struct line l = line_at(r, line_of(r, at));
  say(r, at, l.to, "a list goes on with something that is not a list item");
  diag_caret(r->ds, "begin it with `- `, or indent it as its key above the list");
  diag_note(r->ds, "the list begins at line %u", start.line);
}

static void not_closed(struct yaml_reader *r, size_t at, size_t context, char closing) {
  char open = r->text[context];
  if (at > r->from && r->text[at] == '{' && r->text[at - 1] == '$') {
    diag_error(
      r->ds, yaml_pos(r, at - 1, line_at(r, line_of(r, at)).to), "`${...}` between `%c` and `%c` must be in quotes", open, closing);
    diag_caret(r->ds, "as in \"${env:NAME}\"");
    return;
  }
  if (line_of(r, at) == line_of(r, context) && at < r->to) {
    diag_error(r->ds, yaml_pos(r, at, at + 1), "expected `,` or `%c`", closing);
    diag_caret(r->ds, "`%c` is opened in column %u", open, yaml_pos(r, context, context).col);
  } else {
    diag_error(r->ds, yaml_pos(r, context, context + 1), "`%c` is opened here and never closed", open);
    diag_caret(r->ds, "add the `%c`", closing);
  }
}

static void bad_start(struct yaml_reader *r, size_t at) {
  struct line l = line_at(r, line_of(r, at));
  char c = at < r->to ? r->text[at] : ' ';
  if (c == '\t') {
    say(r, at, at + 1, "a tab stands where a value or key must begin");
    diag_caret(r->ds, "use spaces");
    return;
  }
  diag_error(r->ds, yaml_pos(r, at, l.to), "a value can not begin with `%c`", c);
  diag_caret(r->ds, "put it in quotes: '...'");
}

static void no_colon(struct yaml_reader *r, size_t context) {
  struct line l = line_at(r, line_of(r, context));
  if (yaml_check_plain(r, l.text, l.to) || missing_space(r, l) || missing_colon(r, l)) return;
  say(r, context, l.to, "expected a key with a `:` behind it");
}

static void bad_escape(struct yaml_reader *r, size_t at) {
  size_t from = at > r->from && r->text[at - 1] == '\\' ? at - 1 : at;
  diag_error(r->ds, yaml_pos(r, from, from + 2), "unknown escape `%.2s` in double quotes", r->text + from);
  diag_caret(r->ds, "write `\\\\`, or use single quotes, in which a backslash is only a backslash");
}

static void reader_error(struct yaml_reader *r) {
  size_t at = r->from + r->parser.problem_offset;
  if (at > r->to) at = r->to;
  for (int back = 0; back < 3 && at > r->from && (unsigned char)r->text[at] < 0x80 && (unsigned char)r->text[at - 1] >= 0x80;) at--, back++;
  if (strstr(r->parser.problem, "control")) {
    diag_error(r->ds, yaml_pos(r, at, at + 1), "a control character (U+%04X) is not allowed here", (unsigned)r->parser.problem_value);
    diag_caret(r->ds, "remove it, or write it as an escape in double quotes");
  } else {
    diag_error(r->ds, yaml_pos(r, at, at + 1), "the file is not UTF-8: byte 0x%02X is not part of a character",
      (unsigned)(unsigned char)r->text[at]);
    diag_caret(r->ds, "save the file as UTF-8");
  }
}

/* What libyaml says, and who explains it. at: the problem's place; context: where what is being read began. */
static void explain(struct yaml_reader *r, const char *problem, size_t at, size_t context) {
  if (strstr(problem, "mapping values are not allowed"))
    bad_colon(r, at);
  else if (strstr(problem, "',' or ']'"))
    not_closed(r, at, context, ']');
  else if (strstr(problem, "',' or '}'"))
    not_closed(r, at, context, '}');
  else if (strstr(problem, "expected key") || strstr(problem, "<document start>"))
    bad_indent(r, at);
  else if (strstr(problem, "'-' indicator"))
    bad_item(r, at, context);
  else if (strstr(problem, "cannot start any token"))
    bad_start(r, at);
  else if (strstr(problem, "expected ':'"))
    no_colon(r, context);
  else if (strstr(problem, "unknown escape"))
    bad_escape(r, at);
  else if (strstr(problem, "end of stream") || strstr(problem, "unexpected document indicator")) {
    say(r, context, context + 1, "a quote is opened here and never closed");
    diag_caret(r->ds, "add the closing `%c`", r->text[context]);
  } else if (strstr(problem, "block sequence entries")) {
    say(r, at, at + 1, "a list item can not stand here");
    diag_caret(r->ds, "begin a new line for it, below its key");
  } else if (strstr(problem, "alphabetic or numeric")) {
    diag_error(r->ds, yaml_pos(r, context, line_at(r, line_of(r, context)).to), "a value can not begin with `%c`", r->text[context]);
    diag_caret(r->ds, "put it in quotes: '...'");
  } else if (strstr(problem, "node content")) {
    say(r, at, at + 1, "expected a value");
    diag_caret(r->ds, "put text with brackets, braces or commas in quotes");
  } else {
    diag_error(r->ds, yaml_pos(r, at, at), "not valid YAML: %s", problem);
    if (r->parser.context) diag_note(r->ds, "%s at line %u", r->parser.context, yaml_pos(r, context, context).line);
  }
}

void yaml_syntax_error(struct yaml_reader *r) {
  const char *problem = r->parser.problem ? r->parser.problem : "out of memory";
  struct cursor c = { 0, 0 };
  if (r->parser.error == YAML_READER_ERROR) {
    reader_error(r);
  } else {
    size_t at = yaml_byte(r, &c, r->parser.problem_mark.index);
    size_t context = r->parser.context ? yaml_byte(r, &c, r->parser.context_mark.index) : at;
    size_t last = line_of(r, at), first = line_of(r, context);
    if (first > last || !r->parser.context) first = last > 0 ? last - 1 : last;
    if (!tab_in_indent(r, first, last)) explain(r, problem, at, context);
  }
  if (r->ds->newest) r->ds->newest->untyped = 1;
}

int yaml_check_braces(struct yaml_reader *r, size_t at) {
  struct line l = line_at(r, line_of(r, at));
  for (size_t i = l.text; i + 1 < l.to; i++) {
    if (r->text[i] != '{' || r->text[i + 1] != '{') continue;
    diag_error(r->ds, yaml_pos(r, i, l.to), "`{{` can not begin a value");
    diag_caret(r->ds, "put the value in quotes, or run the template engine over the file first");
    if (r->ds->newest) r->ds->newest->untyped = 1;
    return 1;
  }
  return 0;
}

struct lookalike {
  const char *bytes, *msg, *caret;
};

/* Inside of text they may be meant; where a space or quote has a meaning in YAML they are not. */
static int stands_at_edge(const struct yaml_reader *r, size_t from, size_t to, size_t i, size_t n) {
  return i == from || i + n == to || r->text[i - 1] == ':' || r->text[i - 1] == '-';
}

int yaml_check_plain(struct yaml_reader *r, size_t from, size_t to) {
  static const char space[] = "replace it by a plain space, or put the value in quotes to keep it",
                    quote[] = "use the plain quotes \" or '";
  static const struct lookalike all[] = {
    { "\xc2\xa0", "a no-break space (U+00A0) stands here", space },
    { "\xe2\x80\xaf", "a narrow no-break space (U+202F) stands here", space },
    { "\xe3\x80\x80", "an ideographic space (U+3000) stands here", space },
    { "\xe2\x80\x8b", "an invisible zero-width space (U+200B) stands here", "remove it" },
    { "\xe2\x80\x9c", "a typographic quote (U+201C) stands here", quote },
    { "\xe2\x80\x9d", "a typographic quote (U+201D) stands here", quote },
  };
  for (size_t i = from; i < to; i++) {
    if ((unsigned char)r->text[i] < 0x80) continue;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
      size_t n = strlen(all[k].bytes);
      if (to - i < n || memcmp(r->text + i, all[k].bytes, n) != 0 || !stands_at_edge(r, from, to, i, n)) continue;
      say(r, i, i + n, all[k].msg);
      diag_caret(r->ds, "%s", all[k].caret);
      if (r->ds->newest) r->ds->newest->untyped = 1;
      return 1;
    }
  }
  return 0;
}
