/*
 * The disk queue on damaged files: one bit in each byte, an end at each offset, segments that are missing, double, exchanged or another queue's, and 10,000
 * random changes. It always starts; what is missing is what was damaged, and is counted; nothing comes that nobody appended, and nothing twice.
 */
#include "spool_fixture.h"

enum { FILES = 16, RECORDS = 64 };

/* The files of a queue in memory. */
struct image {
  struct {
    char name[64];
    char *p;
    size_t n;
  } file[FILES];
  size_t n;
};

static struct image good, work;

static void image_free(struct image *m) {
  for (size_t i = 0; i < m->n; i++) free(m->file[i].p);
  m->n = 0;
}

static void image_put(struct image *m, const char *name, const char *p, size_t n) {
  assert_true(m->n < FILES);
  snprintf(m->file[m->n].name, sizeof m->file[0].name, "%s", name);
  m->file[m->n].p = malloc(n + 1);
  assert_non_null(m->file[m->n].p);
  memcpy(m->file[m->n].p, p, n);
  m->file[m->n++].n = n;
}

static struct image *saving;

static void save_file(const char *path, const char *name) {
  static char buf[1 << 20];
  int fd = open(path, O_RDONLY);
  ssize_t n = read(fd, buf, sizeof buf);
  close(fd);
  assert_true(n >= 0 && n < (ssize_t)sizeof buf);
  if (strcmp(name, LOCK_NAME) != 0) image_put(saving, name, buf, (size_t)n);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void image_save(struct image *m) {
  image_free(m);
  saving = m;
  each_file(save_file);
  qsort(m->file, m->n, sizeof m->file[0], by_name); /* segments in order, then the cursor */
}

static void image_copy(struct image *to, const struct image *from) {
  image_free(to);
  for (size_t i = 0; i < from->n; i++) image_put(to, from->file[i].name, from->file[i].p, from->file[i].n);
}

static void file_write(const char *name, const char *p, size_t n) {
  char path[160];
  path_of(path, sizeof path, name);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, p, n), n);
  close(fd);
}

static void image_write(const struct image *m) {
  clear_files();
  for (size_t i = 0; i < m->n; i++) file_write(m->file[i].name, m->file[i].p, m->file[i].n);
}

static size_t cursor_index(const struct image *m) {
  for (size_t i = 0; i < m->n; i++)
    if (strcmp(m->file[i].name, CURSOR_NAME) == 0) return i;
  fail();
  return 0;
}

/* A queue of n records, closed in good order; the folder's files go to `good`. */
static void make_good(uint64_t n, uint64_t segment_bytes) {
  options.max_bytes = 64u << 20;
  options.segment_bytes = segment_bytes;
  clear_files();
  start_queue();
  for (uint64_t i = 0; i < n; i++) assert_int_equal(add(i), 0);
  stop_queue();
  image_save(&good);
}

struct outcome {
  uint64_t came; /* bit i: record i */
  uint64_t missing, missing_items;
  struct spool_stats st;
};

static void note(struct outcome *o, uint64_t id, uint64_t n) {
  assert_true(id < n);                  /* nobody appended another */
  assert_int_equal(o->came >> id & 1, 0); /* once only */
  o->came |= 1ull << id;
}

static void sum_up(struct outcome *o, uint64_t n) {
  struct sample m;
  for (uint64_t i = 0; i < n; i++) {
    if (o->came >> i & 1) continue;
    sample_make(&m, i);
    o->missing++;
    o->missing_items += m.items;
  }
}

/* Opens what stands in the folder, reads all. */
static struct outcome read_all(uint64_t n) {
  struct outcome o = { 0 };
  uint64_t id, seq;
  start_queue();
  while (take(&id, &seq)) {
    note(&o, id, n);
    spool_release(spool, seq);
  }
  o.st = stats();
  assert_int_equal(o.st.records, 0);
  assert_int_equal(o.st.items, 0);
  assert_int_equal(o.st.recovered_records, o.st.released_records + o.st.corrupt_found_records);
  stop_queue();
  sum_up(&o, n);
  return o;
}

/* The same by looking only. */
static struct outcome peek_all(uint64_t n) {
  struct outcome o = { 0 };
  struct spool_view v;
  struct spool *peek;
  assert_int_equal(spool_peek_open(&peek, options.directory, NULL), 0);
  while (spool_peek_next(peek, &v)) note(&o, sample_id(v.payload, v.payload_n, v.context, v.context_n, v.items), n);
  spool_stats(peek, &o.st);
  spool_peek_close(peek);
  sum_up(&o, n);
  return o;
}

static void expect_counted(const struct outcome *o) {
  assert_int_equal(o->st.corrupt_records, o->missing);
  assert_int_equal(o->st.corrupt_items, o->missing_items);
}

/* Where record i stands in the first segment: its header, its bytes, its padding. */
static void place_of(uint64_t i, size_t *at, size_t *data_end, size_t *end) {
  struct sample m;
  *end = SEGMENT_HEADER;
  for (uint64_t k = 0; k <= i; k++) {
    sample_make(&m, k);
    *at = *end;
    *data_end = *at + RECORD_HEADER + m.context_n + m.payload_n;
    *end = *at + spool_record_bytes(m.context_n, m.payload_n);
  }
}

/* The record that a byte belongs to; n: none (the padding does not matter). */
static uint64_t owner_of(size_t offset, uint64_t n) {
  size_t at, data_end, end;
  for (uint64_t i = 0; i < n; i++) {
    place_of(i, &at, &data_end, &end);
    if (offset >= at && offset < data_end) return i;
  }
  return n;
}

static void one_bit_costs_one_record(void **state) {
  (void)state;
  make_good(3, 1u << 20);
  for (size_t at = 0; at < good.file[0].n; at++) {
    image_copy(&work, &good);
    work.file[0].p[at] ^= (char)(1 << at % 8);
    image_write(&work);
    struct outcome looked = peek_all(3), o = read_all(3);
    uint64_t owner = owner_of(at, 3), lost = at < SEGMENT_HEADER ? 7 : owner < 3 ? 1ull << owner : 0;
    assert_int_equal(o.came, 7 & ~lost);
    assert_int_equal(looked.came, o.came);
    expect_counted(&o);
    expect_counted(&looked);
    assert_int_equal(o.st.lost_segments, at < SEGMENT_HEADER);
  }
}

static void one_bit_of_the_cursor_costs_nothing(void **state) {
  (void)state;
  make_good(3, 1u << 20);
  size_t c = cursor_index(&good);
  struct cursor_slot a, b;
  assert_int_equal(good.file[c].n, 2 * CURSOR_SLOT);
  assert_true(cursor_slot_read(good.file[c].p, &a) && cursor_slot_read(good.file[c].p + CURSOR_SLOT, &b));
  assert_int_equal(a.generation > b.generation ? a.generation - b.generation : b.generation - a.generation, 1); /* written in turn */
  for (size_t at = 0; at < 2 * CURSOR_SLOT; at++) {
    image_copy(&work, &good);
    work.file[c].p[at] ^= (char)(1 << at % 8);
    image_write(&work);
    struct outcome o = read_all(3);
    assert_int_equal(o.came, 7);
    expect_counted(&o);
  }
}

static void an_end_at_any_offset(void **state) {
  (void)state;
  make_good(3, 1u << 20);
  for (size_t n = 0; n < good.file[0].n; n++) {
    image_copy(&work, &good);
    work.file[0].n = n;
    image_write(&work);
    struct outcome looked = peek_all(3), o = read_all(3);
    uint64_t whole = 0;
    for (uint64_t i = 0; i < 3; i++) {
      size_t at, data_end, end;
      place_of(i, &at, &data_end, &end);
      if (data_end <= n) whole |= 1ull << i;
    }
    assert_int_equal(o.came, whole);
    assert_int_equal(looked.came, whole);
    expect_counted(&o);
  }
  /* the cursor's file, too */
  size_t c = cursor_index(&good);
  for (size_t n = 0; n < 2 * CURSOR_SLOT; n++) {
    image_copy(&work, &good);
    work.file[c].n = n;
    image_write(&work);
    assert_int_equal(read_all(3).came, 7);
  }
}

/* The records of segment i, by the numbers in the headers. */
static uint64_t records_of(size_t i) {
  struct segment_header a, b;
  assert_true(segment_header_read(good.file[i].p, &a));
  b.first_seq = i + 1 < good.n - 1 ? 0 : 25;
  if (!b.first_seq) assert_true(segment_header_read(good.file[i + 1].p, &b));
  uint64_t set = 0;
  for (uint64_t k = a.first_seq; k < b.first_seq; k++) set |= 1ull << (k - 1);
  return set;
}

static const uint64_t all24 = (1ull << 24) - 1;

static void make_segments(void) {
  make_good(24, 2400);
  assert_true(good.n >= 5 && good.n < FILES - 1);
  assert_int_equal(cursor_index(&good), good.n - 1);
}

static void a_missing_segment_costs_its_records(void **state) {
  (void)state;
  char path[160];
  make_segments();
  for (size_t i = 0; i + 1 < good.n; i++)
    for (int cursor = 0; cursor < 2; cursor++) {
      image_write(&good);
      path_of(path, sizeof path, good.file[i].name);
      unlink(path);
      path_of(path, sizeof path, CURSOR_NAME);
      if (!cursor) unlink(path);
      struct outcome o = read_all(24);
      assert_int_equal(o.came, all24 & ~records_of(i));
      if (!cursor && (i == 0 || i + 2 == good.n)) continue; /* without the cursor nobody knows of the ends */
      expect_counted(&o);
      assert_int_equal(o.st.lost_segments, i + 2 < good.n);
    }
}

static void a_damaged_segment_is_set_aside(void **state) {
  (void)state;
  char path[160];
  make_segments();
  for (size_t i = 0; i + 1 < good.n; i++) {
    image_copy(&work, &good);
    work.file[i].p[20] ^= 4;
    image_write(&work);
    struct outcome o = read_all(24);
    assert_int_equal(o.came, all24 & ~records_of(i));
    expect_counted(&o);
    assert_int_equal(o.st.lost_segments, 1);
    path_of(path, sizeof path - 4, good.file[i].name);
    strcat(path, ".bad");
    assert_int_equal(access(path, F_OK), 0);
  }
}

static void double_and_exchanged_segments_cost_nothing(void **state) {
  (void)state;
  make_segments();
  for (size_t i = 0; i + 1 < good.n; i++)
    for (size_t k = 0; k + 1 < good.n; k++) {
      image_write(&good);
      if (i == k) {
        file_write("copy.seg", good.file[i].p, good.file[i].n);
      } else {
        file_write(good.file[i].name, good.file[k].p, good.file[k].n);
        file_write(good.file[k].name, good.file[i].p, good.file[i].n);
      }
      struct outcome o = read_all(24);
      assert_int_equal(o.came, all24);
      expect_counted(&o);
      assert_int_equal(o.st.lost_segments, 0);
    }
}

static void double_records_come_once(void **state) {
  (void)state;
  size_t at, data_end, end;
  make_good(3, 1u << 20);
  for (uint64_t i = 0; i < 3; i++) {
    place_of(i, &at, &data_end, &end);
    image_copy(&work, &good);
    work.file[0].p = realloc(work.file[0].p, work.file[0].n + end - at);
    memcpy(work.file[0].p + work.file[0].n, good.file[0].p + at, end - at);
    work.file[0].n += end - at;
    image_write(&work);
    struct outcome o = read_all(3);
    assert_int_equal(o.came, 7);
    expect_counted(&o);
  }
}

static void a_record_cut_out_is_missed(void **state) {
  (void)state;
  size_t at, data_end, end;
  make_good(3, 1u << 20);
  for (uint64_t i = 0; i < 3; i++) {
    place_of(i, &at, &data_end, &end);
    image_copy(&work, &good);
    memmove(work.file[0].p + at, work.file[0].p + end, work.file[0].n - end);
    work.file[0].n -= end - at;
    image_write(&work);
    struct outcome o = read_all(3);
    assert_int_equal(o.came, 7 & ~(1ull << i));
    expect_counted(&o);
  }
}

static void segments_of_another_queue_are_set_aside(void **state) {
  (void)state;
  struct image mine = { .n = 0 };
  make_segments();
  image_copy(&mine, &good);
  make_segments(); /* the same records under another identity */
  image_write(&mine);
  for (size_t i = 0; i + 2 < good.n; i++) {
    char name[80];
    snprintf(name, sizeof name, "x%zu.seg", i);
    file_write(name, good.file[i].p, good.file[i].n);
  }
  struct outcome o = read_all(24);
  assert_int_equal(o.came, all24);
  expect_counted(&o);
  assert_int_equal(o.st.lost_segments, good.n - 2);
  /* its cursor alone means nothing here, were it far ahead */
  image_write(&mine);
  size_t c = cursor_index(&good);
  file_write(CURSOR_NAME, good.file[c].p, good.file[c].n);
  assert_int_equal(read_all(24).came, all24);
  image_free(&mine);
}

static void odd_files_are_left_alone(void **state) {
  (void)state;
  char path[160];
  make_segments();
  image_write(&good);
  file_write("00000000000000000000.seg", "", 0); /* just made when the process died */
  file_write("short.seg", "WQSG", 4);
  file_write("note.txt", "mine", 4);
  path_of(path, sizeof path, "pipe.seg");
  assert_int_equal(mkfifo(path, 0600), 0);
  path_of(path, sizeof path, "link.seg");
  assert_int_equal(symlink("/etc/passwd", path), 0);
  struct outcome o = read_all(24);
  assert_int_equal(o.came, all24);
  path_of(path, sizeof path, "note.txt");
  assert_int_equal(access(path, F_OK), 0);
  path_of(path, sizeof path, "short.seg.bad");
  assert_int_equal(access(path, F_OK), 0);
  path_of(path, sizeof path, "00000000000000000000.seg");
  assert_int_equal(access(path, F_OK), -1);
}

/* --- random changes ---------------------------------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252ull;

static size_t draw(size_t below) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return below ? (size_t)(random_state % below) : 0;
}

static void change_bytes(char *p, size_t n, size_t kind) {
  if (n == 0) return;
  size_t at = draw(n), to = draw(n), len = draw(n - (at > to ? at : to)) % 700;
  if (kind == 0) p[at] ^= (char)(1 << draw(8));
  if (kind == 1) p[at] = (char)draw(256);
  if (kind == 2) memset(p + at, draw(2) ? 0 : 0xff, len);
  if (kind == 3) memmove(p + to, p + at, len);
  if (kind == 4) memmove(p + (to & ~(size_t)7), p + (at & ~(size_t)7), len);
  for (size_t i = 0; kind == 5 && i < len; i++) p[at + i] = (char)draw(256);
}

static void change(struct image *m) {
  size_t i = draw(m->n), kind = draw(9);
  if (kind < 6) change_bytes(m->file[i].p, m->file[i].n, kind);
  if (kind == 6) m->file[i].n = draw(m->file[i].n + 1);
  if (kind == 7) {
    size_t k = draw(m->n);
    char *p = m->file[i].p;
    size_t n = m->file[i].n;
    m->file[i].p = m->file[k].p;
    m->file[i].n = m->file[k].n;
    m->file[k].p = p;
    m->file[k].n = n;
  }
  if (kind == 8 && m->n < FILES) {
    char name[64];
    snprintf(name, sizeof name, "%zu.seg", draw(1000));
    image_put(m, name, m->file[i].p, m->file[i].n);
  }
}

static void ten_thousand_random_changes(void **state) {
  (void)state;
  make_good(16, 2400);
  for (int round = 0; round < 10000; round++) {
    image_copy(&work, &good);
    for (size_t n = 1 + draw(4); n > 0; n--) change(&work);
    image_write(&work);
    if (round % 4) (void)peek_all(16);
    else (void)read_all(16);
  }
}

static int teardown_damage(void **state) {
  image_free(&good);
  image_free(&work);
  return teardown_folder(state);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup_folder, teardown_damage)

int main(void) {
  const struct CMUnitTest tests[] = {
    CASE(one_bit_costs_one_record),
    CASE(one_bit_of_the_cursor_costs_nothing),
    CASE(an_end_at_any_offset),
    CASE(a_missing_segment_costs_its_records),
    CASE(a_damaged_segment_is_set_aside),
    CASE(double_and_exchanged_segments_cost_nothing),
    CASE(double_records_come_once),
    CASE(a_record_cut_out_is_missed),
    CASE(segments_of_another_queue_are_set_aside),
    CASE(odd_files_are_left_alone),
    CASE(ten_thousand_random_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
