#include "core/tls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"

#define READ_TRIES 3 /* files that change while they are read are read again at once */

/* --- the engine ---------------------------------------------------------------------------------------- */

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER; /* engine and list of contexts */
static const struct tls_engine *engine;
static const char *own_path;

void tls_engine_path(const char *path) { own_path = path; }

static int find_engine(char *path, size_t cap) {
  static const char *const places[] = { "engines", "../lib/weir/engines" };
  char exe[2048];
  ssize_t n = own_path ? 0 : readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (own_path) {
    snprintf(path, cap, "%s", own_path);
    return access(path, R_OK);
  }
  if (n <= 0) return -1;
  exe[n] = 0;
  *strrchr(exe, '/') = 0;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    snprintf(path, cap, "%s/%s/tls.so", exe, places[i]);
    if (access(path, R_OK) == 0) return 0;
  }
  return -1;
}

/* Never unloaded: OpenSSL has thread-local state and handlers for the exit. */
static int load_engine(struct weir_error *err) {
  char path[2200];
  struct stat st;
  if (engine) return 0;
  if (find_engine(path, sizeof path)) {
    weir_fail(err, WEIR_E_UNSUPPORTED, "TLS needs engines/tls.so, which is not beside the program nor in ../lib/weir");
    weir_hint(err, "install it with weir (make install), or do without `tls`");
    return WEIR_E_UNSUPPORTED;
  }
  if (stat(path, &st) || st.st_mode & S_IWOTH) return weir_fail(err, WEIR_E_UNSUPPORTED, "%s may be written by everybody: it is not loaded", path);
  void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!so) {
    weir_fail(err, WEIR_E_UNSUPPORTED, "TLS cannot be loaded: %s", dlerror());
    weir_hint(err, "on Debian 12 it needs the package libssl3");
    return WEIR_E_UNSUPPORTED;
  }
  const struct tls_engine *e = dlsym(so, TLS_ENGINE_SYMBOL);
  if (!e || e->size != sizeof *e) return weir_fail(err, WEIR_E_UNSUPPORTED, "%s is of another version of weir", path);
  log_debug("tls", "%s", e->library);
  engine = e;
  return 0;
}

/* --- contexts -------------------------------------------------------------------------------------------- */

enum material { M_CERT, M_KEY, M_CA, M_CLIENT_CA, MATERIALS };

struct identity {
  int error; /* errno of stat */
  dev_t dev;
  ino_t ino;
  off_t size;
  struct timespec changed, modified;
};

struct tls_context {
  struct tls_context *next;
  char *key; /* owner, role and settings as one text: who has the same shares it */
  struct weir_tls_config cfg;
  char **strings;
  size_t n_strings;
  struct env *env;
  int is_server, n_users, looking;
  pthread_mutex_t lock; /* current, texts, generation, looking, looked_ns */
  void *current;        /* of the engine */
  struct tls_texts *texts;
  uint64_t generation;
  int64_t looked_ns, interval_ns;
  struct identity seen[MATERIALS];
  struct tls_facts facts;
  char cert_labels[600], ca_labels[600];
  struct weir_cell *cert_expiry, *ca_expiry, *failures;
};

static struct tls_context *contexts;

static const char *file_of(const struct weir_tls_config *c, int m) {
  const char *const files[MATERIALS] = { c->cert_file, c->key_file, c->ca_file, c->client_ca_file };
  return files[m];
}

static const char *pem_of(const struct weir_tls_config *c, int m) {
  const char *const texts[MATERIALS] = { c->cert_pem, c->key_pem, c->ca_pem, NULL };
  return texts[m];
}

static const char *field_of(int m, int is_file) {
  static const char *const names[MATERIALS][2] = { { "cert_pem", "cert_file" }, { "key_pem", "key_file" }, { "ca_pem", "ca_file" }, { "", "client_ca_file" } };
  return names[m][is_file];
}

/* --- files ------------------------------------------------------------------------------------------------ */

static void identify(const struct weir_tls_config *c, struct identity *ids) {
  memset(ids, 0, MATERIALS * sizeof *ids);
  for (int m = 0; m < MATERIALS; m++) {
    struct stat st;
    if (!file_of(c, m)) continue;
    if (stat(file_of(c, m), &st)) {
      ids[m].error = errno;
      continue;
    }
    ids[m].dev = st.st_dev;
    ids[m].ino = st.st_ino;
    ids[m].size = st.st_size;
    ids[m].changed = st.st_ctim;
    ids[m].modified = st.st_mtim;
  }
}

static int read_file(const char *path, const char *field, char **ret, size_t *ret_n, struct weir_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), e = errno;
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) {
    if (fd >= 0) {
      e = errno;
      close(fd);
    }
    weir_fail_field(err, field, "%s %s: %s", field, path, strerror(e));
    if (e == EACCES) weir_hint(err, "it has to be readable by the user that weir runs as");
    return WEIR_E_CONFIG;
  }
  if (!S_ISREG(st.st_mode) || st.st_size > TLS_FILE_MAX) {
    close(fd);
    return weir_fail_field(err, field, "%s %s: %s", field, path, S_ISREG(st.st_mode) ? "it is larger than 1 MiB" : "it is no file");
  }
  char *p = malloc((size_t)st.st_size + 1);
  WEIR_ASSERT(p != NULL);
  size_t n = 0;
  ssize_t got;
  while (n < (size_t)st.st_size && (got = read(fd, p + n, (size_t)st.st_size - n)) > 0) n += (size_t)got;
  close(fd);
  p[n] = 0;
  *ret = p;
  *ret_n = n;
  return 0;
}

static void forget(char *p, size_t n) {
  if (p) explicit_bzero(p, n);
  free(p);
}

static char *text_of(const struct tls_pem *pem) {
  if (!pem->p) return NULL;
  char *copy = calloc(1, pem->n + 1);
  WEIR_ASSERT(copy != NULL);
  memcpy(copy, pem->p, pem->n);
  return copy;
}

static struct tls_texts *texts_new(const struct tls_setup *s) {
  struct tls_texts *t = calloc(1, sizeof *t);
  WEIR_ASSERT(t != NULL);
  atomic_init(&t->refs, 1);
  t->cert = text_of(&s->cert);
  t->key = text_of(&s->key);
  t->ca = text_of(s->is_server ? &s->client_ca : &s->ca);
  return t;
}

void tls_texts_release(struct tls_texts *t) {
  if (!t || atomic_fetch_sub(&t->refs, 1) > 1) return;
  char *const texts[] = { t->cert, t->key, t->ca };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) forget(texts[i], texts[i] ? strlen(texts[i]) : 0);
  free(t);
}

/* What one reading of the files gives. */
struct made {
  void *current;
  struct tls_texts *texts;
  struct tls_facts facts;
};

/* Reads what is a file, and makes a context of the engine of all. */
static int make_current(const struct tls_context *c, struct made *ret, struct weir_error *err) {
  struct tls_setup setup = { .is_server = c->is_server, .cfg = &c->cfg };
  struct tls_pem *const pems[MATERIALS] = { &setup.cert, &setup.key, &setup.ca, &setup.client_ca };
  char *files[MATERIALS] = { NULL };
  int r = 0;
  for (int m = 0; !r && m < MATERIALS; m++) {
    const char *file = file_of(&c->cfg, m), *pem = pem_of(&c->cfg, m);
    pems[m]->field = pems[m]->where = field_of(m, file != NULL);
    if (file) {
      pems[m]->where = file;
      r = read_file(file, pems[m]->field, &files[m], &pems[m]->n, err);
      pems[m]->p = files[m];
    } else if (pem) {
      pems[m]->p = pem;
      pems[m]->n = strlen(pem);
    }
  }
  if (!r) r = engine->context_new(&setup, &ret->current, &ret->facts, err);
  if (!r) ret->texts = texts_new(&setup);
  for (int m = 0; m < MATERIALS; m++) forget(files[m], pems[m]->n);
  return r;
}

/* What was read belongs to `ids`: a swap in between shows as a change, and is read again. */
static int read_all(struct tls_context *c, struct made *ret, struct weir_error *err) {
  struct identity after[MATERIALS];
  int r = 0;
  for (int i = 0; i < READ_TRIES; i++) {
    identify(&c->cfg, c->seen);
    r = make_current(c, ret, err);
    identify(&c->cfg, after);
    if (!r || !memcmp(after, c->seen, sizeof after)) break;
  }
  return r;
}

/* --- metrics ------------------------------------------------------------------------------------------------- */

static int shown_elsewhere(const struct tls_context *c, const char *labels) {
  for (const struct tls_context *o = contexts; o; o = o->next)
    if (o != c && o->env == c->env && ((o->cert_expiry && !strcmp(o->cert_labels, labels)) || (o->ca_expiry && !strcmp(o->ca_labels, labels)))) return 1;
  return 0;
}

static struct weir_cell *expiry_cell(struct tls_context *c, char *labels, size_t cap, int m) {
  char owner[160], path[256];
  const char *file = file_of(&c->cfg, m);
  metrics_escape(c->cfg.owner, owner, sizeof owner);
  metrics_escape(file ? file : field_of(m, 0), path, sizeof path);
  snprintf(labels, cap, "component=\"%s\",role=\"%s\",file=\"%s\"", owner, c->is_server ? "server" : "client", path);
  if (shown_elsewhere(c, labels)) return NULL; /* equal cells would be summed */
  return metrics_cell(c->env->metrics, METRIC_GAUGE, "weir_tls_certificate_expiry_seconds", labels,
    "When the certificate, or the first of a bundle of CAs, ends to be valid; Unix time.", NULL, 0);
}

/* Called with all_lock held, whenever a context came or went: each file is shown by one of them. */
static void make_cells(void) {
  for (struct tls_context *c = contexts; c; c = c->next) {
    if (!c->env->metrics) continue;
    int ca = c->is_server ? M_CLIENT_CA : M_CA;
    if (!c->cert_expiry && c->facts.cert_not_after) c->cert_expiry = expiry_cell(c, c->cert_labels, sizeof c->cert_labels, M_CERT);
    if (!c->ca_expiry && c->facts.ca_not_after) c->ca_expiry = expiry_cell(c, c->ca_labels, sizeof c->ca_labels, ca);
    if (c->cert_expiry) metric_put(c->cert_expiry, c->facts.cert_not_after);
    if (c->ca_expiry) metric_put(c->ca_expiry, c->facts.ca_not_after);
    if (c->failures) continue;
    char owner[160], labels[256];
    metrics_escape(c->cfg.owner, owner, sizeof owner);
    snprintf(labels, sizeof labels, "component=\"%s\",role=\"%s\"", owner, c->is_server ? "server" : "client");
    c->failures = metrics_cell(c->env->metrics, METRIC_COUNTER, "weir_tls_reload_failures_total", labels,
      "Changed certificate files that could not be used; those before them stay in use.", NULL, 0);
  }
}

static void warn_of_expiry(const struct tls_context *c) {
  int64_t now_s = clock_unix_ns() / NS_PER_S;
  if (c->facts.cert_not_after && c->facts.cert_not_after < now_s)
    log_warn(c->cfg.owner, "the certificate %s (%s) has expired %lld hours ago: peers will refuse it", c->cfg.cert_file ? c->cfg.cert_file : "cert_pem",
      c->facts.subject, (long long)((now_s - c->facts.cert_not_after) / 3600));
  if (c->facts.ca_not_after && c->facts.ca_not_after < now_s) log_warn(c->cfg.owner, "a certificate of the trusted CAs has expired");
}

/* --- renewal --------------------------------------------------------------------------------------------------- */

static void renew(struct tls_context *c) {
  struct made made = { 0 };
  struct weir_error err = { 0 };
  if (read_all(c, &made, &err)) {
    log_warn(c->cfg.owner, "changed certificate files cannot be used, those before stay in use: %s%s%s", err.msg, *err.hint ? "; " : "", err.hint);
    if (c->failures) metric_add(c->failures, 1);
    return;
  }
  pthread_mutex_lock(&c->lock);
  struct made old = { .current = c->current, .texts = c->texts };
  c->current = made.current;
  c->texts = made.texts;
  c->generation++;
  pthread_mutex_unlock(&c->lock);
  engine->context_free(old.current); /* its connections hold it as long as they live */
  tls_texts_release(old.texts);
  pthread_mutex_lock(&all_lock);
  c->facts = made.facts;
  make_cells();
  pthread_mutex_unlock(&all_lock);
  log_info(c->cfg.owner, "certificate files changed and were read again");
  warn_of_expiry(c);
}

static void look_at_files(struct tls_context *c) {
  struct identity now[MATERIALS];
  int64_t now_ns = clock_mono_ns();
  pthread_mutex_lock(&c->lock);
  int mine = !c->looking && now_ns - c->looked_ns >= c->interval_ns / 2; /* one of the lanes is enough */
  if (mine) c->looking = 1;
  pthread_mutex_unlock(&c->lock);
  if (!mine) return;
  identify(&c->cfg, now);
  if (memcmp(now, c->seen, sizeof now) != 0) renew(c);
  pthread_mutex_lock(&c->lock);
  c->looking = 0;
  c->looked_ns = now_ns;
  pthread_mutex_unlock(&c->lock);
}

static void look(void *arg) {
  struct tls_use *u = arg;
  struct tls_context *c = u->context;
  timer_set(u->loop, &u->look, c->interval_ns);
  look_at_files(c);
  pthread_mutex_lock(&c->lock);
  int changed = u->on_change && u->generation != c->generation;
  pthread_mutex_unlock(&c->lock);
  if (changed) u->on_change(u);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* Appends to key, or only counts where it is NULL. */
static size_t add_key(char *key, size_t n, const char *text) {
  if (!text) text = "\x1e";
  size_t text_n = strlen(text);
  if (key) memcpy(key + n, text, text_n);
  if (key) key[n + text_n] = '\x1f';
  return n + text_n + 1;
}

static size_t fill_key(char *key, int is_server, const struct weir_tls_config *c) {
  char numbers[128];
  const char *const texts[] = { numbers, c->owner, c->cert_file, c->cert_pem, c->key_file, c->key_pem, c->ca_file, c->ca_pem, c->client_ca_file };
  size_t n = 0;
  snprintf(numbers, sizeof numbers, "%d %u %u %u %lld", is_server, c->flags, c->min_version, c->max_version, (long long)c->reload_interval_ns);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) n = add_key(key, n, texts[i]);
  for (uint64_t i = 0; i < c->n_cipher_suites; i++) n = add_key(key, n, c->cipher_suites[i]);
  n = add_key(key, n, NULL);
  for (uint64_t i = 0; i < c->n_curves; i++) n = add_key(key, n, c->curves[i]);
  return n;
}

static char *key_of(int is_server, const struct weir_tls_config *c) {
  char *key = calloc(1, fill_key(NULL, is_server, c) + 1);
  WEIR_ASSERT(key != NULL);
  fill_key(key, is_server, c);
  return key;
}

static const char *keep(struct tls_context *c, const char *text) {
  if (!text) return NULL;
  c->strings = realloc(c->strings, (c->n_strings + 1) * sizeof *c->strings);
  WEIR_ASSERT(c->strings != NULL);
  char *copy = strdup(text);
  WEIR_ASSERT(copy != NULL);
  return c->strings[c->n_strings++] = copy;
}

static const char *const *keep_all(struct tls_context *c, const char *const *v, uint64_t n) {
  const char **copy = calloc(n + 1, sizeof *copy);
  WEIR_ASSERT(copy != NULL);
  for (uint64_t i = 0; i < n; i++) copy[i] = keep(c, v[i]);
  return copy;
}

static void keep_config(struct tls_context *c, const struct weir_tls_config *from) {
  const char **const texts[] = { &c->cfg.owner, &c->cfg.cert_file, &c->cfg.cert_pem, &c->cfg.key_file, &c->cfg.key_pem, &c->cfg.ca_file, &c->cfg.ca_pem,
    &c->cfg.client_ca_file, &c->cfg.server_name };
  c->cfg = *from;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) *texts[i] = keep(c, *texts[i]);
  c->cfg.cipher_suites = keep_all(c, from->cipher_suites, from->n_cipher_suites);
  c->cfg.curves = keep_all(c, from->curves, from->n_curves);
}

static void context_drop(struct tls_context *c) {
  if (c->current) engine->context_free(c->current);
  tls_texts_release(c->texts);
  if (c->env->metrics) {
    metrics_release(c->env->metrics, c->cert_expiry);
    metrics_release(c->env->metrics, c->ca_expiry);
    metrics_release(c->env->metrics, c->failures);
  }
  for (size_t i = 0; i < c->n_strings; i++) forget(c->strings[i], strlen(c->strings[i]));
  free(c->strings);
  free((void *)(uintptr_t)c->cfg.cipher_suites);
  free((void *)(uintptr_t)c->cfg.curves);
  forget(c->key, strlen(c->key));
  pthread_mutex_destroy(&c->lock);
  free(c);
}

static int check(int is_server, const struct weir_tls_config *c, struct weir_error *err) {
  int cert = c->cert_file || c->cert_pem, key = c->key_file || c->key_pem;
  for (int m = 0; m < MATERIALS; m++)
    if (file_of(c, m) && pem_of(c, m)) return weir_fail_field(err, field_of(m, 0), "provide either %s or %s, not both", field_of(m, 1), field_of(m, 0));
  if (cert != key) return weir_fail_field(err, cert ? "cert_file" : "key_file", "a certificate and its key belong together: provide both, or neither");
  if (is_server && !cert) {
    weir_fail_field(err, "cert_file", "a TLS server needs a certificate");
    weir_hint(err, "set cert_file and key_file");
    return WEIR_E_CONFIG;
  }
  return 0;
}

/* Takes key. */
static int context_make(struct env *env, int is_server, const struct weir_tls_config *cfg, char *key, struct tls_context **ret, struct weir_error *err) {
  struct tls_context *c = calloc(1, sizeof *c);
  WEIR_ASSERT(c != NULL);
  c->env = env;
  c->key = key;
  c->is_server = is_server;
  c->interval_ns = cfg->reload_interval_ns > 0 ? cfg->reload_interval_ns : TLS_RELOAD_NS;
  c->looked_ns = clock_mono_ns();
  pthread_mutex_init(&c->lock, NULL);
  keep_config(c, cfg);
  struct made made = { 0 };
  int r = read_all(c, &made, err);
  if (r) {
    context_drop(c);
    return r;
  }
  c->current = made.current;
  c->texts = made.texts;
  c->facts = made.facts;
  c->next = contexts;
  contexts = c;
  make_cells();
  warn_of_expiry(c);
  *ret = c;
  return 0;
}

static int get(struct env *env, int is_server, const struct weir_tls_config *cfg, struct tls_context **ret, struct weir_error *err) {
  int r = load_engine(err);
  if (!r) r = check(is_server, cfg, err);
  if (r) return r;
  char *key = key_of(is_server, cfg);
  for (struct tls_context *c = contexts; c; c = c->next)
    if (c->env == env && !strcmp(c->key, key)) {
      forget(key, strlen(key));
      *ret = c;
      return 0;
    }
  return context_make(env, is_server, cfg, key, ret, err);
}

static void name_field(struct weir_error *err) {
  char field[sizeof err->field];
  snprintf(field, sizeof field, "tls%s%.100s", *err->field ? "." : "", err->field);
  memcpy(err->field, field, sizeof field);
}

static struct weir_tls_config config_of(int is_server, const struct weir_tls_config *cfg) {
  struct weir_tls_config c = { 0 };
  memcpy(&c, cfg, cfg->size < sizeof c ? cfg->size : sizeof c);
  if (is_server) c.ca_file = c.ca_pem = NULL; /* of no use there */
  else c.client_ca_file = NULL;
  if (!c.owner) c.owner = "tls";
  return c;
}

int tls_check(int is_server, const struct weir_tls_config *cfg, struct weir_error *err) {
  struct made made = { 0 };
  if (!cfg) return 0;
  struct tls_context c = { .cfg = config_of(is_server, cfg), .is_server = is_server };
  pthread_mutex_lock(&all_lock);
  int r = load_engine(err);
  if (!r) r = check(is_server, &c.cfg, err);
  if (!r) r = read_all(&c, &made, err);
  if (made.current) engine->context_free(made.current);
  tls_texts_release(made.texts);
  pthread_mutex_unlock(&all_lock);
  if (r) name_field(err);
  return r;
}

int tls_use_begin(struct tls_use *u, struct loop *loop, int is_server, const struct weir_tls_config *cfg, struct weir_error *err) {
  if (!cfg) return 0;
  struct weir_tls_config c = config_of(is_server, cfg);
  pthread_mutex_lock(&all_lock);
  int r = get(loop->env, is_server, &c, &u->context, err);
  if (!r) u->context->n_users++;
  pthread_mutex_unlock(&all_lock);
  if (r) {
    name_field(err);
    return r;
  }
  u->loop = loop;
  u->look.fn = look;
  u->look.arg = u;
  timer_set(loop, &u->look, u->context->interval_ns);
  return 0;
}

void tls_use_end(struct tls_use *u) {
  struct tls_context *c = u->context;
  if (!c) return;
  timer_cancel(u->loop, &u->look);
  u->context = NULL;
  pthread_mutex_lock(&all_lock);
  if (--c->n_users == 0) {
    struct tls_context **at = &contexts;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    context_drop(c);
    make_cells();
  }
  pthread_mutex_unlock(&all_lock);
}

void *tls_session_new(struct tls_use *u, const char *name, uint32_t alpn) {
  pthread_mutex_lock(&u->context->lock);
  void *session = engine->session_new(u->context->current, name, alpn);
  pthread_mutex_unlock(&u->context->lock);
  return session;
}

struct tls_texts *tls_texts_of(struct tls_use *u) {
  pthread_mutex_lock(&u->context->lock);
  struct tls_texts *t = u->context->texts;
  atomic_fetch_add(&t->refs, 1);
  u->generation = u->context->generation;
  pthread_mutex_unlock(&u->context->lock);
  return t;
}

const struct tls_engine *tls_engine_of(const struct tls_use *u) { return u->context ? engine : NULL; }
