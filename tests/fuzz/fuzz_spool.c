/*
 * A disk queue's folder: recovery and reading must come through, and hand out only records that are whole. The input is two segments and a cursor, cut at
 * lengths that its first bytes give; byte 0 says which checksums are corrected first, so that a fuzzer comes past them, and how the folder is looked at.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/log.h"
#include "core/spool_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIX_RECORDS 1
#define FIX_REST 2
#define OPEN 4
#define PART_MAX 8192

static char dir[64], queue[80];

static void must(int truth) {
  if (!truth) abort();
}

static void each_name(void (*fn)(const char *path)) {
  char path[400];
  DIR *d = opendir(queue);
  for (const struct dirent *e; d && (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", queue, e->d_name);
    fn(path);
  }
  if (d) closedir(d);
}

static void remove_file(const char *path) { unlink(path); }

static void leave(void) {
  each_name(remove_file);
  rmdir(queue);
  rmdir(dir);
}

static void prepare(void) {
  if (dir[0]) return;
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  snprintf(dir, sizeof dir, "%s/weir-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  must(mkdtemp(dir) != NULL);
  snprintf(queue, sizeof queue, "%s/q", dir);
  must(mkdir(queue, 0700) == 0);
  atexit(leave);
}

static void put(const char *name, const uint8_t *p, size_t n) {
  char path[120];
  snprintf(path, sizeof path, "%s/%s", queue, name);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  must(fd >= 0 && write(fd, p, n) == (ssize_t)n);
  close(fd);
}

/* Magic and checksum of what begins here. */
static void seal(uint8_t *p, uint32_t magic, uint32_t salt, size_t n) {
  uint32_t crc = crc32c(salt, p + 8, n - 8);
  memcpy(p, &magic, 4);
  memcpy(p + 4, &crc, 4);
}

static void correct_segment(uint8_t *p, size_t n, int how) {
  if (n < SEGMENT_HEADER) return;
  if (how & FIX_REST) {
    p[8] = FORMAT_VERSION;
    seal(p, SEGMENT_MAGIC, 0, SEGMENT_HEADER);
  }
  uint32_t salt = uuid_salt(p + 16), length;
  for (size_t at = SEGMENT_HEADER; how & FIX_RECORDS && at + RECORD_HEADER <= n; at += (size_t)record_bytes(length)) {
    memcpy(&length, p + at + 32, 4);
    if (length > n - at - RECORD_HEADER) return;
    uint32_t crc = crc32c(0, p + at + RECORD_HEADER, length);
    memcpy(p + at + 40, &crc, 4);
    seal(p + at, RECORD_MAGIC, salt, RECORD_HEADER);
  }
}

static void correct_cursor(uint8_t *p, size_t n, int how) {
  for (size_t at = 0; how & FIX_REST && at + CURSOR_SLOT <= n; at += CURSOR_SLOT) seal(p + at, CURSOR_MAGIC, 0, CURSOR_SLOT);
}

/* Every record has a sequence number of its own, above the last, and says itself how long it is. */
static void look(void) {
  struct spool *s;
  struct spool_view v;
  uint64_t last = 0;
  must(spool_peek_open(&s, queue, NULL) == 0);
  while (spool_peek_next(s, &v)) {
    must(v.seq > last);
    must(crc32c(0, v.context, v.context_n) == crc32c_portable(0, v.context, v.context_n)); /* reads them all, for a sanitizer to see */
    must(crc32c(0, v.payload, v.payload_n) == crc32c_portable(0, v.payload, v.payload_n));
    last = v.seq;
  }
  struct spool_stats st;
  spool_stats(s, &st);
  must(st.records == st.recovered_records - st.corrupt_found_records);
  spool_peek_close(s);
}

static struct loop loop;
static int ended;

static void on_added(struct spool_append *a) { ended = 1 + (a->op.error != 0); }

static void on_read(struct spool_read *r) {
  ended = 1;
  (void)r;
}

static void wait_end(void) {
  struct pollfd p = { .fd = uv_backend_fd(&loop.uv), .events = POLLIN };
  for (int i = 0; !ended; i++) {
    loop_run_once(&loop);
    if (!ended) poll(&p, 1, 10);
    must(i < 2000);
  }
}

/* As its owner: reads and releases all, after one append, which must come last. */
static void own(void) {
  struct spool_options o = { .directory = queue, .max_bytes = 1u << 20, .segment_bytes = 65536, .fs_reserve_bytes = 1 };
  struct weir_iov iov = { "fuzz", 4 };
  struct spool *s;
  must(spool_open(&s, &o, NULL) == 0);
  struct spool_lane *lane = spool_add_lane(s, &loop, NULL, NULL);
  struct spool_append a = { .iov = &iov, .n_iov = 1, .done = on_added };
  ended = 0;
  must(spool_append(lane, &a) == 0);
  wait_end();
  must(ended == 1);
  uint64_t last = 0;
  for (struct spool_read r = { .done = on_read }; spool_read(lane, &r);) {
    ended = 0;
    wait_end();
    if (!r.body) break;
    must(r.seq > last);
    last = r.seq;
    body_free(r.body);
    spool_release(s, r.seq);
  }
  must(last == a.seq);
  struct spool_stats st;
  spool_stats(s, &st);
  must(st.records == 0 && st.items == 0 && st.bytes == 0);
  spool_close(s);
  for (int i = 0; i < 3; i++) loop_run_once(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t part[PART_MAX];
  static const char *const names[] = { "1.seg", "2.seg", CURSOR_NAME };
  if (size < 4) return 0;
  prepare();
  each_name(remove_file);
  int how = data[0];
  size_t length[3] = { data[1] * 32u, data[2] * 32u, PART_MAX }, at = 4;
  for (int i = 0; i < 3; i++) {
    size_t n = length[i] < size - at ? length[i] : size - at;
    if (n) memcpy(part, data + at, n);
    if (i < 2) correct_segment(part, n, how);
    else correct_cursor(part, n, how);
    if (n) put(names[i], part, n);
    at += n;
  }
  look();
  if (!(how & OPEN)) return 0;
  struct weir_error err;
  must(loop_init(&loop, 0, NULL, &err) == 0);
  own();
  look();
  loop_done(&loop);
  return 0;
}
