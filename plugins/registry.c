#include "plugins/registry.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/nearest.h"
#include "plugins/loader.h"

#define STAGES_MAX 64u
#define DIRS_MAX 32u
#define NAME_MAX_N 63u

struct loaded {
  char *path; /* resolved */
  struct stat st; /* when it was loaded */
  struct loaded *next;
};

struct registry {
  struct stage_entry *entries; /* sorted by role, name */
  struct loaded *files;
  char *dirs[DIRS_MAX];
  size_t n_dirs;
};

const char *role_name(uint32_t role) {
  static const char *const names[] = { "stage", "receiver", "processor", "exporter", "connector", "extension" };
  return role <= WEIR_EXTENSION ? names[role] : names[0];
}

struct registry *registry_new(void) {
  struct registry *r = calloc(1, sizeof *r);
  WEIR_ASSERT(r != NULL);
  return r;
}

void registry_free(struct registry *r) {
  if (!r) return;
  for (struct stage_entry *e = r->entries, *next; e; e = next) {
    next = e->next;
    free((char *)(uintptr_t)e->file);
    free(e);
  }
  for (struct loaded *f = r->files, *next; f; f = next) {
    next = f->next;
    free(f->path);
    free(f);
  }
  for (size_t i = 0; i < r->n_dirs; i++) free(r->dirs[i]);
  free(r);
}

const struct stage_entry *registry_first(const struct registry *r) { return r->entries; }

/* --- what a plugin declares ----------------------------------------------------------------------------------- */

static int name_is_legal(const char *s) {
  if (!s || !((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')) || strlen(s) > NAME_MAX_N) return 0;
  for (; *s; s++)
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_')) return 0;
  return 1;
}

static int check_functions(const char *path, const struct weir_stage_type *t, struct weir_error *err) {
  int consumes = t->role == WEIR_PROCESSOR || t->role == WEIR_EXPORTER || t->role == WEIR_CONNECTOR;
  if (!t->open || !t->close) return weir_fail(err, WEIR_E_INVALID, "%s: stage %s has no %s function", path, t->name, t->open ? "close" : "open");
  if (consumes && !t->consume) return weir_fail(err, WEIR_E_INVALID, "%s: %s %s has no consume function", path, role_name(t->role), t->name);
  if (t->role != WEIR_EXTENSION && !(t->signals & (WEIR_TRACES | WEIR_METRICS | WEIR_LOGS)))
    return weir_fail(err, WEIR_E_INVALID, "%s: stage %s names no signal", path, t->name);
  return 0;
}

/* What goes together and what does not. */
static int check_placement(const char *path, const struct weir_stage_type *t, struct weir_error *err) {
  int by_key = (t->flags & WEIR_BY_KEY) != 0;
  if (by_key && t->role != WEIR_PROCESSOR && t->role != WEIR_EXPORTER)
    return weir_fail(err, WEIR_E_INVALID, "%s: %s %s can not be placed by key: only processors and exporters can", path, role_name(t->role), t->name);
  if (by_key && t->flags & WEIR_ONE_LANE)
    return weir_fail(err, WEIR_E_INVALID, "%s: stage %s is on one lane, so its records can not be placed by key, too", path, t->name);
  if (by_key != (t->key != NULL))
    return weir_fail(err, WEIR_E_INVALID, "%s: stage %s %s", path, t->name,
      by_key ? "is placed by key and has no key function" : "has a key function without the flag that it is placed by key");
  if ((t->prepare != NULL) != (t->release != NULL))
    return weir_fail(err, WEIR_E_INVALID, "%s: stage %s has no %s function to its %s", path, t->name, t->prepare ? "release" : "prepare",
      t->prepare ? "prepare" : "release");
  return 0;
}

static int check_type(const char *path, const struct weir_stage_type *t, struct weir_error *err) {
  if (!name_is_legal(t->name)) return weir_fail(err, WEIR_E_INVALID, "%s has a stage without a legal name (letters, digits, _; at most %u)", path, NAME_MAX_N);
  if (t->role < WEIR_RECEIVER || t->role > WEIR_EXTENSION) return weir_fail(err, WEIR_E_INVALID, "%s: stage %s has the unknown role %u", path, t->name, t->role);
  if (!t->doc || !*t->doc) return weir_fail(err, WEIR_E_INVALID, "%s: stage %s is not documented", path, t->name);
  if (t->fields && (t->field_size < offsetof(struct weir_field, group_size) || t->field_size > 1024))
    return weir_fail(err, WEIR_E_INVALID, "%s: stage %s says its fields have %u bytes each, which cannot be", path, t->name, t->field_size);
  int r = check_functions(path, t, err);
  if (!r) r = check_placement(path, t, err);
  if (r || !t->fields) return r;
  struct schema_table table = { t->fields, t->field_size };
  struct weir_error inner = { 0 };
  if (!schema_check_table(t->name, table, t->config_size, &inner)) return 0;
  weir_fail(err, WEIR_E_INVALID, "%s: %s", path, inner.msg);
  return WEIR_E_INVALID;
}

static int compare(const struct stage_entry *a, uint32_t role, const char *name) {
  if (a->type.role != role) return a->type.role < role ? -1 : 1;
  return strcmp(a->type.name, name);
}

/* A stage of ours that is not loaded yet is not shadowed silently by a plugin of the same name. */
static int check_shadow(const struct registry *r, const char *path, const struct weir_stage_type *t, struct weir_error *err) {
  for (size_t i = 0; i < r->n_dirs; i++) {
    char file[PATH_MAX], real[PATH_MAX];
    if ((size_t)snprintf(file, sizeof file, "%s/%s_%s.so", r->dirs[i], role_name(t->role), t->name) >= sizeof file || !realpath(file, real)) continue;
    if (strcmp(real, path) == 0) return 0;
    weir_fail(err, WEIR_E_INVALID, "%s offers the %s `%s`, which %s has already", path, role_name(t->role), t->name, real);
    weir_hint(err, "give the plugin's stage another name");
    return WEIR_E_INVALID;
  }
  return 0;
}

static int add_type(struct registry *r, const char *path, const struct weir_plugin *plugin, const struct weir_stage_type *declared, struct weir_error *err) {
  struct stage_entry *e = calloc(1, sizeof *e);
  WEIR_ASSERT(e != NULL);
  uint32_t size = declared->size;
  if (size < offsetof(struct weir_stage_type, close) + sizeof declared->close || size > 4096) {
    free(e);
    return weir_fail(err, WEIR_E_INVALID, "%s says a stage type has %u bytes, which cannot be", path, size);
  }
  memcpy(&e->type, declared, size < sizeof e->type ? size : sizeof e->type);
  e->plugin = *plugin;
  int bad = check_type(path, &e->type, err);
  if (!bad) bad = check_shadow(r, path, &e->type, err);
  struct stage_entry **at = &r->entries;
  if (!bad) {
    while (*at && compare(*at, e->type.role, e->type.name) < 0) at = &(*at)->next;
    if (*at && compare(*at, e->type.role, e->type.name) == 0) {
      bad = weir_fail(err, WEIR_E_INVALID, "%s offers the %s `%s`, which %s has already", path, role_name(e->type.role), e->type.name, (*at)->file);
    }
  }
  if (bad) {
    free(e);
    return bad;
  }
  e->file = strdup(path);
  e->next = *at;
  *at = e;
  return 0;
}

/* A file is refused as a whole. Nobody has seen its types yet; the code stays mapped. */
static void remove_types(struct registry *r, const char *path) {
  for (struct stage_entry **at = &r->entries, *e; (e = *at);) {
    if (strcmp(e->file, path) != 0) {
      at = &e->next;
      continue;
    }
    *at = e->next;
    free((char *)(uintptr_t)e->file);
    free(e);
  }
}

static int is_loaded(const struct registry *r, const char *real) {
  for (const struct loaded *f = r->files; f; f = f->next)
    if (!strcmp(f->path, real)) return 1;
  return 0;
}

int registry_load(struct registry *r, const char *path, struct weir_error *err) {
  char real[PATH_MAX];
  struct weir_plugin plugin;
  if (realpath(path, real) && is_loaded(r, real)) return 0;
  int bad = loader_open(path, real, &plugin, err);
  if (bad) return bad;
  for (size_t i = 0; !bad && plugin.stages[i]; i++)
    bad = i < STAGES_MAX ? add_type(r, real, &plugin, plugin.stages[i], err) : weir_fail(err, WEIR_E_LIMIT, "%s has more than %u stages", real, STAGES_MAX);
  if (bad) {
    remove_types(r, real);
    return bad;
  }
  struct loaded *f = calloc(1, sizeof *f);
  WEIR_ASSERT(f != NULL);
  f->path = strdup(real);
  if (stat(real, &f->st)) memset(&f->st, 0, sizeof f->st);
  f->next = r->files;
  r->files = f;
  return 0;
}

static int is_changed(const struct loaded *f) {
  struct stat now;
  if (stat(f->path, &now)) return 0; /* removed: nothing new to load */
  return now.st_ino != f->st.st_ino || now.st_size != f->st.st_size || now.st_mtim.tv_sec != f->st.st_mtim.tv_sec ||
    now.st_mtim.tv_nsec != f->st.st_mtim.tv_nsec;
}

const char *registry_changed_file(const struct registry *r, size_t i) {
  for (const struct loaded *f = r->files; f; f = f->next)
    if (is_changed(f) && i-- == 0) return f->path;
  return NULL;
}

/* --- look-up ------------------------------------------------------------------------------------------------------ */

int registry_add_dir(struct registry *r, const char *dir, struct weir_error *err) {
  if (access(dir, R_OK | X_OK)) {
    weir_fail(err, WEIR_E_IO, "the stage directory %s cannot be read: %s", dir, strerror(errno));
    weir_hint(err, "check the path");
    return WEIR_E_IO;
  }
  for (size_t i = 0; i < r->n_dirs; i++)
    if (strcmp(r->dirs[i], dir) == 0) return 0; /* a reload names them again */
  if (r->n_dirs == DIRS_MAX) return weir_fail(err, WEIR_E_LIMIT, "more than %u stage directories", DIRS_MAX);
  r->dirs[r->n_dirs++] = strdup(dir);
  return 0;
}

static int in_list(const char *list, const char *name) {
  size_t n = strlen(name);
  for (const char *p = list; p && *p;) {
    const char *bar = strchr(p, '|');
    size_t len = bar ? (size_t)(bar - p) : strlen(p);
    if (len == n && !memcmp(p, name, n)) return 1;
    p = bar ? bar + 1 : NULL;
  }
  return 0;
}

static const struct stage_entry *find_loaded(const struct registry *r, uint32_t role, const char *type) {
  for (const struct stage_entry *e = r->entries; e; e = e->next)
    if (e->type.role == role && (!strcmp(e->type.name, type) || in_list(e->type.aliases, type))) return e;
  return NULL;
}

/* Loads the files of the search directories whose names begin with prefix. */
static void load_matching(struct registry *r, const char *prefix, void (*on_refused)(void *, const char *, const struct weir_error *), void *arg) {
  for (size_t i = 0; i < r->n_dirs; i++) {
    DIR *dir = opendir(r->dirs[i]);
    if (!dir) continue;
    for (struct dirent *e; (e = readdir(dir));) {
      char path[PATH_MAX];
      struct weir_error err = { 0 };
      size_t n = strlen(e->d_name);
      if (n < 4 || strcmp(e->d_name + n - 3, ".so") != 0 || strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
      if ((size_t)snprintf(path, sizeof path, "%s/%s", r->dirs[i], e->d_name) >= sizeof path) continue;
      if (registry_load(r, path, &err) && on_refused) on_refused(arg, path, &err);
    }
    closedir(dir);
  }
}

void registry_load_all(struct registry *r, void (*on_refused)(void *arg, const char *path, const struct weir_error *), void *arg) {
  load_matching(r, "", on_refused, arg);
}

/* The file that should hold a stage exists but was refused: that sentence matters more than "unknown". */
struct refusal {
  const char *file;
  struct weir_error err;
};

static void keep_refusal(void *arg, const char *path, const struct weir_error *err) {
  struct refusal *r = arg;
  const char *base = strrchr(path, '/') + 1;
  if (!strcmp(base, r->file)) r->err = *err;
}

static void say_unknown(const struct registry *r, uint32_t role, const char *type, struct weir_error *err) {
  struct nearest near;
  char list[200] = "";
  size_t at = 0;
  nearest_init(&near, type);
  for (const struct stage_entry *e = r->entries; e; e = e->next) {
    if (e->type.role != role) continue;
    nearest_offer(&near, e->type.name);
    if (at < sizeof list - 1) at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", e->type.name);
  }
  weir_fail(err, WEIR_E_CONFIG, "unknown %s type `%s`", role_name(role), type);
  if (near.best) weir_hint(err, "did you mean `%s`?", near.best);
  else if (*list) weir_hint(err, "there are: %s", list);
  else weir_hint(err, "no %s is installed: set service.plugins to a file or directory, or build the stages with make", role_name(role));
}

const struct stage_entry *registry_find(struct registry *r, uint32_t role, const char *type, struct weir_error *err) {
  const struct stage_entry *e = find_loaded(r, role, type);
  if (e) return e;
  char file[160];
  struct refusal refusal = { file, { 0 } };
  snprintf(file, sizeof file, "%s_%s.so", role_name(role), type);
  load_matching(r, file, keep_refusal, &refusal);
  if ((e = find_loaded(r, role, type))) return e;
  char prefix[32];
  snprintf(prefix, sizeof prefix, "%s_", role_name(role));
  load_matching(r, prefix, keep_refusal, &refusal); /* an alias, or a misspelling that wants its nearest name */
  if ((e = find_loaded(r, role, type))) return e;
  load_matching(r, "", keep_refusal, &refusal); /* a directory of the user's, whose files have names of their own */
  if ((e = find_loaded(r, role, type))) return e;
  if (refusal.err.code) *err = refusal.err;
  else say_unknown(r, role, type, err);
  return NULL;
}
