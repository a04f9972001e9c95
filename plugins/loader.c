#include "plugins/loader.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"

#define SYMBOL "weir_plugin_v0"
#define FILE_MAX (256u << 20)
#define N_SIGNALS 65

/* --- the file ------------------------------------------------------------------------------------------------ */

struct image {
  const unsigned char *p;
  size_t n;
};

static int writable_by_all(const struct stat *st) { return (st->st_mode & S_IWOTH) && !(S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX)); }

static int check_safe(const char *path, struct weir_error *err) {
  char dir[PATH_MAX];
  struct stat st;
  if (stat(path, &st)) return weir_fail(err, WEIR_E_IO, "%s: %s", path, strerror(errno));
  if (!S_ISREG(st.st_mode)) return weir_fail(err, WEIR_E_IO, "%s is not a regular file", path);
  if (writable_by_all(&st)) {
    weir_fail(err, WEIR_E_CONFIG, "%s can be written by everyone, so it is not loaded", path);
    weir_hint(err, "chmod o-w %s", path);
    return WEIR_E_CONFIG;
  }
  size_t n = (size_t)(strrchr(path, '/') - path);
  memcpy(dir, path, n ? n : 1);
  dir[n ? n : 1] = 0;
  if (stat(dir, &st) == 0 && writable_by_all(&st)) {
    weir_fail(err, WEIR_E_CONFIG, "the directory %s can be written by everyone, so nothing is loaded from it", dir);
    weir_hint(err, "chmod o-w %s", dir);
    return WEIR_E_CONFIG;
  }
  return 0;
}

static int map_file(const char *path, struct image *ret, struct weir_error *err) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st)) {
    int e = errno;
    if (fd >= 0) close(fd);
    return weir_fail(err, WEIR_E_IO, "%s: %s", path, strerror(e));
  }
  ret->n = st.st_size > 0 && st.st_size <= FILE_MAX ? (size_t)st.st_size : 0;
  void *p = ret->n ? mmap(NULL, ret->n, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  close(fd);
  if (p == MAP_FAILED) return weir_fail(err, WEIR_E_INVALID, "%s is empty or too large for a plugin", path);
  ret->p = p;
  return 0;
}

/* n bytes at off, copied, since nothing in a file is aligned for certain; 0 or -1 past the end. */
static int read_at(const struct image *im, uint64_t off, void *to, size_t n) {
  if (off > im->n || im->n - off < n) return -1;
  memcpy(to, im->p + off, n);
  return 0;
}

static int check_elf(const char *path, const struct image *im, ElfW(Ehdr) *eh, struct weir_error *err) {
  if (read_at(im, 0, eh, sizeof *eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
    return weir_fail(err, WEIR_E_INVALID, "%s is not a shared object (no ELF file)", path);
#if defined(__x86_64__)
  const int machine = EM_X86_64;
#elif defined(__aarch64__)
  const int machine = EM_AARCH64;
#else
  const int machine = eh->e_machine;
#endif
  if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != machine)
    return weir_fail(err, WEIR_E_INVALID, "%s is built for another kind of machine (ELF machine %d, this is %d)", path, eh->e_machine, machine);
  if (eh->e_type != ET_DYN) return weir_fail(err, WEIR_E_INVALID, "%s is not a shared object (ELF type %d)", path, eh->e_type);
  return 0;
}

/* Looks for our note in one note segment. */
static int note_in(const struct image *im, uint64_t off, uint64_t size, struct weir_note *ret) {
  while (size >= 12) {
    uint32_t head[3];
    if (read_at(im, off, head, sizeof head)) return -1;
    uint64_t name = ((uint64_t)head[0] + 3) & ~3ull, desc = ((uint64_t)head[1] + 3) & ~3ull, whole = 12 + name + desc;
    if (whole > size) return -1;
    if (head[2] == WEIR_NOTE_TYPE && head[0] == 5 && head[1] >= 16 && whole >= sizeof *ret && read_at(im, off, ret, sizeof *ret) == 0 &&
      memcmp(ret->name, "weir", 5) == 0)
      return 0;
    off += whole;
    size -= whole;
  }
  return -1;
}

static int find_note(const struct image *im, const ElfW(Ehdr) *eh, struct weir_note *ret) {
  for (unsigned i = 0; i < eh->e_phnum && i < 512; i++) {
    ElfW(Phdr) ph;
    if (eh->e_phentsize < sizeof ph || read_at(im, eh->e_phoff + (uint64_t)i * eh->e_phentsize, &ph, sizeof ph)) return -1;
    if (ph.p_type == PT_NOTE && note_in(im, ph.p_offset, ph.p_filesz, ret) == 0) return 0;
  }
  return -1;
}

/* Mapping a segment that the file does not hold ends in SIGBUS, not in an error. */
static int check_segments(const char *path, const struct image *im, const ElfW(Ehdr) *eh, struct weir_error *err) {
  for (unsigned i = 0; i < eh->e_phnum; i++) {
    ElfW(Phdr) ph;
    if (eh->e_phentsize < sizeof ph || read_at(im, eh->e_phoff + (uint64_t)i * eh->e_phentsize, &ph, sizeof ph) ||
      (ph.p_type == PT_LOAD && (ph.p_offset > im->n || im->n - ph.p_offset < ph.p_filesz))) {
      weir_fail(err, WEIR_E_INVALID, "%s is cut off: it is shorter than its own headers say", path);
      weir_hint(err, "copy or build it again, and install it by rename");
      return WEIR_E_INVALID;
    }
  }
  return 0;
}

static const char *sanitizer_name(uint32_t flags) {
  if (flags & WEIR_BUILT_ASAN) return "the address sanitizer";
  return flags & WEIR_BUILT_TSAN ? "the thread sanitizer" : "no sanitizer";
}

static int check_versions(const char *path, uint32_t major, uint32_t minor, uint32_t flags, struct weir_error *err) {
  if (major != WEIR_ABI_MAJOR || minor != WEIR_ABI_MINOR) { /* until 1.0 only the exact minor loads */
    weir_fail(err, WEIR_E_UNSUPPORTED, "%s is built for stage ABI %u.%u, this weir offers %u.%u", path, major, minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    weir_hint(err, "compile it against this weir's headers");
    return WEIR_E_UNSUPPORTED;
  }
  if ((flags & 3u) != WEIR_BUILD_FLAGS) {
    weir_fail(err, WEIR_E_UNSUPPORTED, "%s is built with %s, this weir with %s: mixed they crash", path, sanitizer_name(flags), sanitizer_name(WEIR_BUILD_FLAGS));
    weir_hint(err, "build both the same way");
    return WEIR_E_UNSUPPORTED;
  }
  return 0;
}

static int check_image(const char *path, const struct image *im, struct weir_error *err) {
  ElfW(Ehdr) eh;
  struct weir_note note;
  int r = check_elf(path, im, &eh, err);
  if (!r) r = check_segments(path, im, &eh, err);
  if (r) return r;
  if (find_note(im, &eh, &note)) {
    weir_fail(err, WEIR_E_INVALID, "%s is no weir plugin: it has no weir note", path);
    weir_hint(err, "declare it with WEIR_PLUGIN(...) from weir/stage.h");
    return WEIR_E_INVALID;
  }
  return check_versions(path, note.abi_major, note.abi_minor_needed, note.flags, err);
}

/* --- loading ------------------------------------------------------------------------------------------------- */

/* A Go plugin replaces signal handlers when it is loaded; ours come back afterwards. */
static void *open_keeping_signals(const char *path) {
  struct sigaction before[N_SIGNALS];
  int known[N_SIGNALS];
  for (int s = 1; s < N_SIGNALS; s++) known[s] = sigaction(s, NULL, &before[s]) == 0;
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  for (int s = 1; s < N_SIGNALS; s++) {
    struct sigaction now;
    if (known[s] && sigaction(s, NULL, &now) == 0 && (now.sa_handler != before[s].sa_handler || now.sa_flags != before[s].sa_flags))
      sigaction(s, &before[s], NULL);
  }
  return handle;
}

static int load(const char *path, struct weir_plugin *ret, struct weir_error *err) {
  void *handle = open_keeping_signals(path);
  if (!handle) return weir_fail(err, WEIR_E_INVALID, "%s cannot be loaded: %s", path, dlerror());
  const struct weir_plugin *p = dlsym(handle, SYMBOL);
  if (!p) return weir_fail(err, WEIR_E_INVALID, "%s does not export %s", path, SYMBOL);
  int r = check_versions(path, p->abi_major, p->abi_minor_needed, p->flags, err);
  if (r) return r;
  if (p->size < offsetof(struct weir_plugin, stages) + sizeof p->stages || p->size > 4096)
    return weir_fail(err, WEIR_E_INVALID, "%s says its plugin struct has %u bytes, which cannot be", path, p->size);
  memset(ret, 0, sizeof *ret);
  memcpy(ret, p, p->size < sizeof *ret ? p->size : sizeof *ret);
  if (!ret->name || !*ret->name || !ret->stages) return weir_fail(err, WEIR_E_INVALID, "%s has no name or no list of stages", path);
  return 0;
}

int loader_open(const char *path, char *real_path, struct weir_plugin *ret, struct weir_error *err) {
  struct image im = { NULL, 0 };
  if (!realpath(path, real_path)) {
    weir_fail(err, WEIR_E_IO, "%s: %s", path, strerror(errno));
    if (errno == ENOENT) weir_hint(err, "check the path, or build it first");
    return WEIR_E_IO;
  }
  int r = check_safe(real_path, err);
  if (!r) r = map_file(real_path, &im, err);
  if (r) return r;
  r = check_image(real_path, &im, err);
  munmap((void *)(uintptr_t)im.p, im.n);
  return r ? r : load(real_path, ret, err);
}
