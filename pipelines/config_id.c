/* Component ids, `type[/name]`, as the Collector's component.ID. */
#include <ctype.h>
#include <string.h>

#include "pipelines/config_internal.h"

#define TYPE_MAX 63
#define NAME_MAX_CHARS 1024

static const char *trim(struct arena *a, const char *p, size_t n) {
  while (n > 0 && isspace((unsigned char)*p)) p++, n--;
  while (n > 0 && isspace((unsigned char)p[n - 1])) n--;
  return arena_strndup(a, p, n);
}

static int type_ok(const char *s) {
  if (!isalpha((unsigned char)*s)) return 0;
  for (; *s; s++)
    if (!isalnum((unsigned char)*s) && *s != '_') return 0;
  return 1;
}

/* No separator, control or symbol characters (Unicode classes Z, C, S; beyond ASCII only the spaces and controls are looked for). */
static int name_ok(const char *s) {
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s, d = (unsigned char)s[1];
    if (c <= 0x20 || c == 0x7f || strchr("$+<=>^`|~", c)) return 0;
    if (c == 0xc2 && d <= 0xa0) return 0;
    if (c == 0xe2 && d == 0x80 && (unsigned char)s[2] <= 0xaf) return 0;
  }
  return 1;
}

static int refuse(struct config_loader *l, const struct yaml_node *key, const char *msg, const char *caret) {
  diag_error(l->ds, key->pos, "in `%.80s` id: %s", key->text, msg);
  diag_caret(l->ds, "%s", caret);
  return -1;
}

int config_parse_id(struct config_loader *l, const struct yaml_node *key, const char **ret_id, const char **ret_type) {
  static const char form[] = "an id is `type` or `type/name`, such as `otlp` or `otlp/2`";
  struct arena *a = &l->config->arena;
  const char *slash = strchr(key->text, '/');
  const char *type = trim(a, key->text, slash ? (size_t)(slash - key->text) : strlen(key->text));
  const char *name = slash ? trim(a, slash + 1, strlen(slash + 1)) : NULL;
  if (!*type) return refuse(l, key, slash ? "the part before / should not be empty" : "it should not be empty", form);
  if (name && !*name) return refuse(l, key, "the part after / should not be empty", form);
  if (strlen(type) > TYPE_MAX) return refuse(l, key, "the type is longer than 63 characters", form);
  if (!type_ok(type)) {
    const char *fix = form;
    if (memchr(type, '-', strlen(type))) fix = "a type has letters, digits and `_`, no `-`; a name comes after a `/`";
    if (strstr(key->text, "${")) fix = "variables are not expanded in keys";
    return refuse(l, key, "invalid character(s) in type", fix);
  }
  if (name && strlen(name) > NAME_MAX_CHARS) return refuse(l, key, "the name is longer than 1024 characters", form);
  if (name && !name_ok(name)) return refuse(l, key, "invalid character(s) in name", "no spaces, control characters or symbols");
  *ret_type = type;
  *ret_id = name ? arena_printf(a, "%s/%s", type, name) : type;
  return 0;
}
