/*
 * What weir's tail_sampling processor decides of a folder of cases (tests/interop/README.md tells their form): the stage's real .so on the stage harness, with a virtual clock.
 *
 *   WEIR_BUILD=build build/tests/interop/tail_run [-t TYPE] [-w TRACE] DIR LINE [CASE ...]
 *
 * LINE is added to each case's configuration ("semantics: strict"). TYPE: another processor, which gets no configuration. Prints what tests/interop/mods/tailsampling prints:
 * `case NAME`, then `span TRACE SPAN` for each span that came out, `refused TEXT`, `panic TEXT`, `invalid N`. With -w also what the stage says of that
 * trace, as lines `why TEXT`. Each case runs in a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/stage/harness.h"

#define END_OF_CASE UINT32_MAX

struct options {
  const char *type, *line, *why;
};

static void die(const char *what, const char *name) {
  fprintf(stderr, "tail_run: %s %s\n", what, name);
  exit(2);
}

/* The whole file with a 0 behind it; the caller frees it. */
static char *read_file(const char *dir, const char *name, size_t *ret_n) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "rb");
  if (!f || fseek(f, 0, SEEK_END)) die("cannot read", path);
  long n = ftell(f);
  char *p = malloc((size_t)n + 1);
  rewind(f);
  if (!p || fread(p, 1, (size_t)n, f) != (size_t)n) die("cannot read", path);
  fclose(f);
  p[n] = 0;
  *ret_n = (size_t)n;
  return p;
}

static void print_hex(struct weir_str s) {
  putchar(' ');
  for (uint32_t i = 0; i < s.n; i++) printf("%02x", (unsigned char)s.p[i]);
}

static void print_span(void *arg, const struct weir_rec *rec) {
  (void)arg;
  const struct weir_span *span = (const struct weir_span *)(const void *)rec;
  fputs("span", stdout);
  print_hex(span->trace_id);
  print_hex(span->span_id);
  putchar('\n');
}

static void take_all(struct harness *h) {
  for (struct weir_batch *b; (b = harness_take_emitted(h));) {
    harness_each(b, print_span, NULL);
    harness_settle(h, b, WEIR_DELIVERED);
  }
}

static void feed(struct harness *h, const char *p, size_t n, int number) {
  struct part *part = NULL;
  struct weir_error err = { 0 };
  struct weir_body *body = body_new(h->loop.pool, n ? n : 1);
  if (!body) die("no memory for", "a message");
  if (n) memcpy(body->p, p, n);
  body->n = n;
  if (part_from_otlp(h->loop.pool, WEIR_TRACES, body, body->p, n, WEIR_VALIDATE_FULL, 0, NULL, &part, &err)) {
    printf("invalid %d %s\n", number, err.msg);
    return;
  }
  harness_feed(h, batch_of_part(&h->loop, part));
  take_all(h);
}

static void advance_to(struct harness *h, uint32_t ms) {
  int64_t left = HARNESS_MONO_NS + (int64_t)ms * NS_PER_MS - clock_mono_ns();
  if (left > 0) harness_advance(h, left);
  take_all(h);
}

static void put_why(struct weir_answer *a, const char *p, size_t n) {
  (void)a;
  while (n) {
    const char *end = memchr(p, '\n', n);
    size_t line = end ? (size_t)(end - p) : n, whole = end ? line + 1 : n;
    printf("why %.*s\n", (int)line, p);
    p += whole;
    n -= whole;
  }
}

static void ask_why(struct harness *h, const char *trace) {
  const struct weir_stage_type *t = &h->stage.entry->type;
  struct weir_answer answer = { .size = sizeof answer, .put = put_why };
  char question[256];
  if (!trace || !t->inspect) return;
  snprintf(question, sizeof question, "why trace_id=%s", trace);
  t->inspect(h->stage.self, question, &answer);
}

static int is_drained(void *arg) { return ((struct harness *)arg)->n_drained > 0; }

static void play(struct harness *h, const char *dir, const char *why) {
  size_t n;
  char *all = read_file(dir, "messages", &n), *p = all;
  for (int number = 0; n >= 8; number++) {
    uint32_t at, len;
    memcpy(&at, p, 4);
    memcpy(&len, p + 4, 4);
    p += 8;
    n -= 8;
    advance_to(h, at);
    if (len == END_OF_CASE) break;
    if (len > n) die("a message is cut in", dir);
    feed(h, p, len, number);
    p += len;
    n -= len;
  }
  free(all);
  harness_drain(h);
  harness_run_until(h, is_drained, h);
  take_all(h);
  ask_why(h, why);
  harness_free(h);
}

/* In a child. A refused configuration ends it, with the reason on standard error. */
static void run_case(const char *dir, const struct options *o) {
  struct harness_setup s = { .role = WEIR_PROCESSOR, .type = o->type ? o->type : "tail_sampling" };
  char *yaml = NULL;
  size_t n;
  if (!o->type) {
    char *config = read_file(dir, "config.yaml", &n);
    if (asprintf(&yaml, "%s\n%s\n", config, o->line) < 0) die("no memory for", dir);
    free(config);
    s.yaml = yaml;
  }
  play(harness_open(&s), dir, o->why);
  free(yaml);
  fflush(stdout);
}

/* What a child wrote to standard error before it died, as one line. */
static void print_end(FILE *errors, int status) {
  char text[4096];
  rewind(errors);
  size_t n = fread(text, 1, sizeof text - 1, errors);
  text[n] = 0;
  for (char *c = text; *c; c++)
    if (*c == '\n') *c = ' ';
  char *why = strstr(text, "was refused: ");
  if (why)
    printf("refused %s\n", why + strlen("was refused: "));
  else
    printf("panic status %d: %s\n", status, text);
}

static void run_in_child(const char *root, const char *name, const struct options *o) {
  char dir[4096];
  int status = 0;
  FILE *errors = tmpfile();
  if (!errors) die("no temporary file for", name);
  snprintf(dir, sizeof dir, "%s/%s", root, name);
  printf("case %s\n", name);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(fileno(errors), STDERR_FILENO);
    run_case(dir, o);
    _exit(0);
  }
  if (pid < 0 || waitpid(pid, &status, 0) != pid) die("cannot run", name);
  if (status) print_end(errors, status);
  fflush(stdout);
  fclose(errors);
}

static int is_case(const struct dirent *e) { return e->d_name[0] != '.' && e->d_type == DT_DIR; }

int main(int argc, char **argv) {
  struct options o = { NULL, NULL, NULL };
  for (int c; (c = getopt(argc, argv, "t:w:")) != -1;) {
    if (c == 't')
      o.type = optarg;
    else if (c == 'w')
      o.why = optarg;
    else
      return 2;
  }
  if (argc - optind < 2) die("usage: tail_run [-t TYPE] [-w TRACE] DIR LINE [CASE ...]", "");
  const char *root = argv[optind];
  o.line = argv[optind + 1];
  for (int i = optind + 2; i < argc; i++) run_in_child(root, argv[i], &o);
  if (argc - optind > 2) return 0;
  struct dirent **found;
  int n = scandir(root, &found, is_case, alphasort);
  if (n < 0) die("cannot read", root);
  for (int i = 0; i < n; i++) {
    run_in_child(root, found[i]->d_name, &o);
    free(found[i]);
  }
  free(found);
  return 0;
}
