/* Runs a fuzz target over the files of a corpus directory, so that `make check` replays them with any compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return -1;
  struct stat st;
  if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode)) {
    fclose(f);
    return 0;
  }
  size_t n = (size_t)st.st_size;
  uint8_t *data = malloc(n ? n : 1); /* exact size, so that a sanitizer sees a read past the end */
  size_t got = data ? fread(data, 1, n, f) : 0;
  fclose(f);
  if (got == n) LLVMFuzzerTestOneInput(data, n);
  free(data);
  return got == n ? 1 : -1;
}

int main(int argc, char **argv) {
  int files = 0;
  for (int i = 1; i < argc; i++) {
    DIR *dir = opendir(argv[i]);
    if (!dir) {
      fprintf(stderr, "%s: no corpus directory\n", argv[i]);
      return 1;
    }
    for (struct dirent *e; (e = readdir(dir));) {
      char path[4096];
      if (e->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
      int r = replay_file(path);
      if (r < 0) {
        fprintf(stderr, "%s: cannot read\n", path);
        closedir(dir);
        return 1;
      }
      files += r;
    }
    closedir(dir);
  }
  printf("%s: %d corpus files\n", argv[0], files);
  return files > 0 ? 0 : 1;
}
