/* What a client or a file of credentials controls: the Authorization header, the query string, base64, and htpasswd lines (costly hashes are read, not checked). */
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/basicauth/htpasswd.c"
#include "extensions/basicauth/server.c"
#include "plugins/kit/base64.c"
#include "plugins/kit/query.c"
#include "plugins/kit/secret.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

static void header(const char *p, size_t n) {
  static struct basic_credentials c;
  if (basic_parse((struct weir_str){ p, (uint32_t)n, 0 }, &c)) return;
  must(c.n <= BASIC_MAX && c.user_n < c.n && c.password_at == c.user_n + 1);
  must(c.text[c.user_n] == ':' && !memchr(c.text, 0, c.n) && !memchr(c.text, ':', c.user_n));
}

static void base64(const char *p, size_t n) {
  char plain[512], text[KIT_BASE64_CAP(sizeof plain)];
  long k = kit_base64_decode(p, n, plain, sizeof plain);
  if (k < 0) return;
  must(kit_base64_encode(plain, (size_t)k, text) == n && memcmp(text, p, n) == 0); /* strict: there is one spelling */
}

static void query(const char *p, size_t n) {
  static const char *const names[] = { "authorization", "a" };
  char buf[64], *copy = malloc(n + 1); /* what is read behind its end is seen */
  must(copy != NULL);
  memcpy(copy, p, n);
  for (size_t i = 0; i < 2; i++) {
    struct weir_str value;
    if (kit_query_get((struct weir_str){ copy, (uint32_t)n, 0 }, names[i], buf, sizeof buf, &value) == 1) must(value.p == buf && value.n <= sizeof buf && value.n < n);
  }
  free(copy);
}

static void file(const char *p, size_t n) {
  static struct crypt_data scratch;
  struct htpasswd h;
  struct weir_error err = { 0 };
  if (htpasswd_read(&h, p, n, "file", NULL, 0, &err)) {
    must(err.msg[0] != 0 && !h.users);
    return;
  }
  for (size_t i = 0; i < h.n; i++) {
    must(htpasswd_find(&h, h.users[i].name, h.users[i].name_n) == &h.users[i]);
    if (!htpasswd_is_costly(&h.users[i])) htpasswd_matches(&h.users[i], "password", 8, &scratch);
  }
  htpasswd_done(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *p = (const char *)data;
  if (size < 1) return 0;
  if (data[0] == 'h') header(p + 1, size - 1);
  else if (data[0] == 'b') base64(p + 1, size - 1);
  else if (data[0] == 'q') query(p + 1, size - 1);
  else file(p + 1, size - 1);
  return 0;
}
