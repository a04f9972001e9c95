/*
 * bench/micro_spool.c - the disk queue beside a bare loop of append and fdatasync, with the same sizes, alternating on the same disk.
 *
 * Usage: micro_spool [directory, default .] [seconds a round, default 0.1] [buffered: the queue through the page cache]. A case is a size and a number of records in flight: the bare loop writes so many
 * with one writev and syncs (also with space allocated ahead, as the queue does); the queue (sync: always) gets so many appends from one lane, each one begun
 * anew when it is acknowledged, and releases what it wrote. Rounds alternate, and the best of each counts: what disk and processor give when nobody else uses them.
 * `read` is a backlog read back and released; `crc` the checksum alone.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/log.h"
#include "core/spool_internal.h"

enum { ROUNDS = 25, MOST = 64, FILE_BYTES = 16 << 20 };

static const char *where = ".";
static double seconds = 0.1;
static int buffered;
static char *bytes;
static struct loop loop;
static struct spool *spool;
static struct spool_lane *lane;

struct result {
  double per_s, cpu_us;
};

static double now_s(clockid_t clock) {
  struct timespec ts;
  clock_gettime(clock, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(int truth, const char *what) {
  if (truth) return;
  perror(what);
  exit(1);
}

static struct result result(uint64_t n, double began, double cpu) {
  return (struct result){ (double)n / (now_s(CLOCK_MONOTONIC) - began), (now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)n };
}

/* A file that is filled, then made anew, as segments are. */
struct file {
  char path[256];
  int fd, ahead;
};

static void file_begin(struct file *f, int ahead) {
  snprintf(f->path, sizeof f->path, "%s/micro_spool.bare%d", where, ahead);
  f->fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  f->ahead = ahead;
  must(f->fd >= 0 && (!ahead || fallocate(f->fd, FALLOC_FL_KEEP_SIZE, 0, FILE_BYTES) == 0), f->path);
}

static void file_end(struct file *f) {
  close(f->fd);
  unlink(f->path);
}

struct task {
  struct file *file;
  size_t size;
  int in_flight;
  struct result result;
};

static void *bare_thread(void *arg) {
  struct task *t = arg;
  struct file *f = t->file;
  struct iovec iov[MOST];
  size_t size = t->size;
  int in_flight = t->in_flight;
  double began = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
  uint64_t n = 0;
  while (now_s(CLOCK_MONOTONIC) - began < seconds) {
    for (int i = 0; i < in_flight; i++) iov[i] = (struct iovec){ bytes, size };
    must(writev(f->fd, iov, in_flight) == (ssize_t)(size * (size_t)in_flight), "writev");
    must(fdatasync(f->fd) == 0, "fdatasync");
    n += (uint64_t)in_flight;
    if (lseek(f->fd, 0, SEEK_CUR) < FILE_BYTES) continue;
    file_end(f);
    file_begin(f, f->ahead);
  }
  t->result = result(n, began, cpu);
  return NULL;
}

/* On a thread of its own, as the queue writes on one: on a busy machine the scheduler treats a thread by what it has used. */
static struct result bare(struct file *f, size_t size, int in_flight) {
  struct task t = { .file = f, .size = size, .in_flight = in_flight };
  pthread_t thread;
  must(pthread_create(&thread, NULL, bare_thread, &t) == 0, "pthread_create");
  pthread_join(thread, NULL);
  return t.result;
}

struct adding {
  struct spool_append a;
  struct weir_iov iov;
};

static struct adding adds[MOST];
static uint64_t ended;
static int under_way, stopping;

static void begin(struct adding *x) {
  must(spool_append(lane, &x->a) == 0, "spool_append");
  under_way++;
}

static void on_added(struct spool_append *a) {
  must(a->op.error == 0, "append");
  under_way--;
  ended++;
  spool_release(spool, a->seq);
  if (!stopping) begin(a->arg);
}

static void wait_loop(void) {
  struct pollfd p = { .fd = uv_backend_fd(&loop.uv), .events = POLLIN };
  poll(&p, 1, 100);
  loop_run_once(&loop);
}

static void open_queue(void) {
  static char path[256];
  struct weir_error err = { 0 };
  snprintf(path, sizeof path, "%s/micro_spool.q", where);
  struct spool_options o = { .directory = path, .max_bytes = 2ull << 30, .buffered = buffered };
  if (spool_open(&spool, &o, &err)) {
    fprintf(stderr, "micro_spool: %s\n", err.msg);
    exit(1);
  }
  lane = spool_add_lane(spool, &loop, NULL, NULL);
}

static struct result queued(size_t size, int in_flight) {
  ended = 0;
  stopping = 0;
  double began = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < in_flight; i++) {
    struct adding *x = &adds[i];
    x->iov = (struct weir_iov){ bytes, size };
    x->a = (struct spool_append){ .iov = &x->iov, .n_iov = 1, .items = 1, .keep = 1, .done = on_added, .arg = x };
    begin(x);
  }
  while (now_s(CLOCK_MONOTONIC) - began < seconds) wait_loop();
  struct result r = result(ended, began, cpu);
  for (stopping = 1; under_way;) wait_loop();
  return r;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static void on_backlog(struct spool_append *a) {
  must(a->op.error == 0, "append");
  under_way--;
}

static void on_read(struct spool_read *r) {
  under_way--;
  if (!r->body) return;
  body_free(r->body);
  spool_release(spool, r->seq);
  ended++;
  under_way += spool_read(lane, r);
}

static struct result read_back(size_t size, int n) {
  struct spool_read reads[8];
  for (int i = 0; i < n; i++) {
    struct adding *x = &adds[i % MOST];
    x->iov = (struct weir_iov){ bytes, size };
    x->a = (struct spool_append){ .iov = &x->iov, .n_iov = 1, .items = 1, .done = on_backlog, .arg = x };
    begin(x);
    if (i % MOST == MOST - 1 || i == n - 1)
      while (under_way) wait_loop();
  }
  ended = 0;
  double began = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < 8; i++) {
    reads[i] = (struct spool_read){ .done = on_read };
    under_way += spool_read(lane, &reads[i]);
  }
  while (under_way) wait_loop();
  must((int)ended == n, "all that was appended is read");
  return result(ended, began, cpu);
}

static double crc_gb_s(uint32_t (*crc)(uint32_t, const void *, size_t)) {
  double began = now_s(CLOCK_PROCESS_CPUTIME_ID);
  uint32_t c = 0;
  for (int i = 0; i < 200; i++) c = crc(c, bytes, 1 << 20);
  must(c != 1, "crc"); /* used */
  return 200.0 / 1024 / (now_s(CLOCK_PROCESS_CPUTIME_ID) - began);
}

static int by_rate(const void *a, const void *b) {
  const struct result *x = a, *y = b;
  return x->per_s < y->per_s ? -1 : x->per_s > y->per_s;
}

static const struct result *best(struct result *r) {
  qsort(r, ROUNDS, sizeof *r, by_rate);
  return &r[ROUNDS - 1];
}

static void compare(size_t size, int in_flight) {
  struct result b[ROUNDS], a[ROUNDS], q[ROUNDS];
  struct file plain, ahead;
  file_begin(&plain, 0);
  file_begin(&ahead, 1);
  open_queue();
  for (int i = 0; i < ROUNDS; i++) {
    b[i] = bare(&plain, size, in_flight);
    q[i] = queued(size, in_flight);
    a[i] = bare(&ahead, size, in_flight);
  }
  file_end(&plain);
  file_end(&ahead);
  spool_close(spool);
  for (int i = 0; i < 3; i++) loop_run_once(&loop);
  const struct result *x = best(b), *z = best(a), *y = best(q);
  printf("append-%zuk-x%d bare %.0f/s %.1f us, with fallocate %.0f/s %.1f us, queue %.0f/s %.1f us, ratio %.2f and %.2f\n", size >> 10, in_flight, x->per_s,
    x->cpu_us, z->per_s, z->cpu_us, y->per_s, y->cpu_us, y->per_s / x->per_s, y->per_s / z->per_s);
  fflush(stdout);
}

int main(int argc, char **argv) {
  struct weir_error err;
  if (argc > 1) where = argv[1];
  if (argc > 2) seconds = strtod(argv[2], NULL);
  buffered = argc > 3 && strcmp(argv[3], "buffered") == 0;
  must((bytes = malloc(1 << 20)) != NULL, "malloc");
  for (uint32_t i = 0; i < 1 << 20; i++) bytes[i] = (char)(i * 7919u >> 5);
  must(loop_init(&loop, 0, NULL, &err) == 0, "loop_init");
  static const struct {
    size_t size;
    int in_flight;
  } cases[] = { { 4 << 10, 1 }, { 4 << 10, 16 }, { 40 << 10, 1 }, { 40 << 10, 4 }, { 40 << 10, 16 }, { 400 << 10, 2 } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) compare(cases[i].size, cases[i].in_flight);
  open_queue();
  struct result r = read_back(40 << 10, 2000);
  printf("read-40k-x8 %.0f/s %.1f us\n", r.per_s, r.cpu_us);
  printf("crc %.1f GB/s, by tables %.1f\n", crc_gb_s(crc32c), crc_gb_s(crc32c_portable));
  spool_close(spool);
  loop_done(&loop);
  free(bytes);
  return 0;
}
