#include "htpasswd.h"

#include <crypt.h>
#include <md5.h>
#include <sha1.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/base64.h"
#include "plugins/kit/secret.h"

/* --- $apr1$ ------------------------------------------------------------------------------------------------------------ */

static const char apr1_magic[] = "$apr1$";
#define APR1_MAGIC_N 6u

static void apr1_to64(char **at, uint32_t v, int n) {
  static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  for (; n > 0; n--, v >>= 6) *(*at)++ = digits[v & 63];
}

static void apr1_first(uint8_t digest[16], const char *password, size_t n, const char *salt, size_t salt_n) {
  MD5_CTX c;
  MD5Init(&c);
  MD5Update(&c, (const uint8_t *)password, n);
  MD5Update(&c, (const uint8_t *)salt, salt_n);
  MD5Update(&c, (const uint8_t *)password, n);
  MD5Final(digest, &c);
  MD5Init(&c);
  MD5Update(&c, (const uint8_t *)password, n);
  MD5Update(&c, (const uint8_t *)apr1_magic, APR1_MAGIC_N);
  MD5Update(&c, (const uint8_t *)salt, salt_n);
  for (size_t left = n; left; left -= left < 16 ? left : 16) MD5Update(&c, digest, left < 16 ? left : 16);
  for (size_t i = n; i; i >>= 1) MD5Update(&c, i & 1 ? (const uint8_t *)"" : (const uint8_t *)password, 1);
  MD5Final(digest, &c);
}

static void apr1_round(uint8_t digest[16], int i, const char *password, size_t n, const char *salt, size_t salt_n) {
  MD5_CTX c;
  MD5Init(&c);
  if (i & 1) MD5Update(&c, (const uint8_t *)password, n);
  else MD5Update(&c, digest, 16);
  if (i % 3) MD5Update(&c, (const uint8_t *)salt, salt_n);
  if (i % 7) MD5Update(&c, (const uint8_t *)password, n);
  if (i & 1) MD5Update(&c, digest, 16);
  else MD5Update(&c, (const uint8_t *)password, n);
  MD5Final(digest, &c);
}

/* The MD5 crypt of FreeBSD with another magic, as Apache's apr_md5.c has it; libcrypt knows only $1$. */
void htpasswd_apr1(const char *password, size_t n, const char *salt, size_t salt_n, char *out) {
  static const uint8_t order[5][3] = { { 0, 6, 12 }, { 1, 7, 13 }, { 2, 8, 14 }, { 3, 9, 15 }, { 4, 10, 5 } };
  uint8_t d[16];
  if (salt_n > 8) salt_n = 8;
  apr1_first(d, password, n, salt, salt_n);
  for (int i = 0; i < 1000; i++) apr1_round(d, i, password, n, salt, salt_n);
  memcpy(out, apr1_magic, APR1_MAGIC_N);
  memcpy(out + APR1_MAGIC_N, salt, salt_n);
  char *at = out + APR1_MAGIC_N + salt_n;
  *at++ = '$';
  for (int i = 0; i < 5; i++) apr1_to64(&at, (uint32_t)d[order[i][0]] << 16 | (uint32_t)d[order[i][1]] << 8 | d[order[i][2]], 4);
  apr1_to64(&at, d[11], 2);
  *at = 0;
  explicit_bzero(d, sizeof d);
}

/* --- checking one password ------------------------------------------------------------------------------------------------ */

#define SHA1_N 20u
#define SALTED_MAX 128u
#define BCRYPT_N 60u

static int begins(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

/* What libcrypt checks. */
static int is_crypt(const char *hash) {
  static const char *const kinds[] = { "$2a$", "$2b$", "$2y$", "$1$", "$5$", "$6$", "$y$" };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (begins(hash, kinds[i])) return 1;
  return 0;
}

int htpasswd_is_costly(const struct htpasswd_user *u) { return u->hash[0] == '$'; }

/* {SHA}base64(sha1(password)) and {SSHA}base64(sha1(password salt) salt). Returns how many bytes stand behind the prefix, or -1. */
static long sha_bytes(const char *hash, uint8_t *to, size_t cap) {
  const char *text = strchr(hash, '}') + 1;
  long n = kit_base64_decode(text, strlen(text), to, cap);
  return n < (long)SHA1_N || (begins(hash, "{SHA}") && n != (long)SHA1_N) ? -1 : n;
}

static int matches_sha(const char *hash, const char *password, size_t n) {
  uint8_t stored[SHA1_N + SALTED_MAX], digest[SHA1_N];
  long stored_n = sha_bytes(hash, stored, sizeof stored);
  SHA1_CTX c;
  if (stored_n < 0) return 0;
  SHA1Init(&c);
  SHA1Update(&c, (const uint8_t *)password, n);
  SHA1Update(&c, stored + SHA1_N, (size_t)stored_n - SHA1_N);
  SHA1Final(digest, &c);
  return kit_secret_equal(digest, SHA1_N, stored, SHA1_N);
}

static int matches_apr1(const char *hash, const char *password, size_t n) {
  char made[40];
  const char *salt = hash + APR1_MAGIC_N;
  htpasswd_apr1(password, n, salt, strcspn(salt, "$"), made);
  return kit_secret_equal(made, strlen(made), hash, strlen(hash));
}

static int matches_crypt(const char *hash, const char *password, size_t n, struct crypt_data *scratch) {
  char text[HTPASSWD_MAX_SECRET + 1];
  memcpy(text, password, n);
  text[n] = 0;
  /* Not crypt_r: the address sanitizer's stand-in for it calls NULL in a plugin that brings libcrypt. */
  const char *made = crypt_rn(text, hash, scratch, (int)sizeof *scratch);
  int same = made && kit_secret_equal(made, strlen(made), hash, strlen(hash));
  explicit_bzero(text, sizeof text);
  explicit_bzero(scratch, sizeof *scratch);
  return same;
}

int htpasswd_matches(const struct htpasswd_user *u, const char *password, size_t n, struct crypt_data *scratch) {
  if (n > HTPASSWD_MAX_SECRET || memchr(password, 0, n)) return 0;
  if (begins(u->hash, apr1_magic)) return matches_apr1(u->hash, password, n);
  if (u->hash[0] == '$') return matches_crypt(u->hash, password, n, scratch);
  if (u->hash[0] == '{') return matches_sha(u->hash, password, n);
  return kit_secret_equal(u->hash, strlen(u->hash), password, n);
}

/* --- reading ------------------------------------------------------------------------------------------------------------------ */

static int is_sound(const char *hash) {
  uint8_t bytes[SHA1_N + SALTED_MAX];
  if (begins(hash, "{SHA}") || begins(hash, "{SSHA}")) return sha_bytes(hash, bytes, sizeof bytes) >= 0;
  if (begins(hash, apr1_magic)) {
    size_t salt_n = strcspn(hash + APR1_MAGIC_N, "$");
    return salt_n <= 8 && strlen(hash) == APR1_MAGIC_N + salt_n + 1 + 22;
  }
  if (begins(hash, "$2") && strlen(hash) != BCRYPT_N) return 0;
  if (is_crypt(hash)) return crypt_checksalt(hash) == CRYPT_SALT_OK || crypt_checksalt(hash) == CRYPT_SALT_METHOD_LEGACY;
  return hash[0] != '$' && hash[0] != '{' && hash[0];
}

static int add_user(struct htpasswd *h, char *line, const char *where, size_t number, struct weir_error *err) {
  char *colon = strchr(line, ':');
  if (!colon || colon == line) return weir_fail(err, WEIR_E_INVALID, "%s, line %zu: expected name:hash", where, number);
  *colon = 0;
  if (!is_sound(colon + 1)) {
    weir_fail(err, WEIR_E_INVALID, "%s, line %zu: this kind of hash is not known, or it is broken", where, number);
    weir_hint(err, "make it with `htpasswd -nB NAME` (bcrypt); $2y$ $apr1$ $1$ $5$ $6$ $y$ {SHA} {SSHA} and plain text are taken");
    return WEIR_E_INVALID;
  }
  if (h->n == HTPASSWD_MAX_USERS) return weir_fail(err, WEIR_E_LIMIT, "%s: more than %u users", where, HTPASSWD_MAX_USERS);
  if (h->n == h->cap) {
    h->cap = h->cap ? h->cap * 2 : 16;
    struct htpasswd_user *grown = realloc(h->users, h->cap * sizeof *h->users);
    if (!grown) return weir_fail(err, WEIR_E_NOMEM, "no memory");
    h->users = grown;
  }
  h->users[h->n] = (struct htpasswd_user){ line, colon + 1, (size_t)(colon - line), h->n };
  h->n++;
  return 0;
}

static int add_lines(struct htpasswd *h, char *text, size_t n, const char *where, struct weir_error *err) {
  size_t number = 0;
  if (memchr(text, 0, n)) return weir_fail(err, WEIR_E_INVALID, "%s holds a NUL byte", where);
  for (char *line = text, *next; line < text + n; line = next) {
    size_t line_n = strcspn(line, "\n");
    next = line + line_n + 1;
    line[line_n] = 0;
    number++;
    while (line_n && (line[line_n - 1] == '\r' || line[line_n - 1] == ' ' || line[line_n - 1] == '\t')) line[--line_n] = 0;
    while (*line == ' ' || *line == '\t') line++, line_n--;
    if (!*line || *line == '#') continue;
    if (line_n > HTPASSWD_MAX_LINE) return weir_fail(err, WEIR_E_LIMIT, "%s, line %zu: longer than %u bytes", where, number, HTPASSWD_MAX_LINE);
    int code = add_user(h, line, where, number, err);
    if (code) return code;
  }
  return 0;
}

/* By name; of equal names the last line first. */
static int compare(const void *a, const void *b) {
  const struct htpasswd_user *x = a, *y = b;
  int r = strcmp(x->name, y->name);
  return r ? r : (x->at < y->at) - (x->at > y->at);
}

static void sort_users(struct htpasswd *h) {
  size_t kept = 0;
  if (h->n) qsort(h->users, h->n, sizeof *h->users, compare);
  for (size_t i = 0; i < h->n; i++)
    if (!kept || strcmp(h->users[kept - 1].name, h->users[i].name) != 0) h->users[kept++] = h->users[i];
  h->n = kept;
}

static int read_text(struct htpasswd *h, int which, const char *text, size_t n, const char *where, struct weir_error *err) {
  if (!text) return 0;
  char *copy = h->text[which] = malloc(n + 1);
  if (!copy) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  memcpy(copy, text, n);
  copy[n] = 0;
  h->text_n[which] = n;
  return add_lines(h, copy, n, where, err);
}

int htpasswd_read(struct htpasswd *h, const char *file, size_t file_n, const char *file_name, const char *inline_text, size_t inline_n, struct weir_error *err) {
  memset(h, 0, sizeof *h);
  int code = read_text(h, 0, file, file_n, file_name, err);
  if (!code) code = read_text(h, 1, inline_text, inline_n, "htpasswd.inline", err);
  if (code) htpasswd_done(h);
  else sort_users(h);
  return code;
}

void htpasswd_done(struct htpasswd *h) {
  free(h->users);
  for (int i = 0; i < 2; i++) kit_secret_free(h->text[i], h->text_n[i]);
  memset(h, 0, sizeof *h);
}

const struct htpasswd_user *htpasswd_find(const struct htpasswd *h, const char *name, size_t n) {
  size_t low = 0, high = h->n;
  while (low < high) {
    size_t mid = (low + high) / 2;
    const struct htpasswd_user *u = &h->users[mid];
    size_t least = u->name_n < n ? u->name_n : n;
    int r = memcmp(u->name, name, least);
    if (!r) r = (u->name_n > n) - (u->name_n < n);
    if (!r) return u;
    if (r < 0) low = mid + 1;
    else high = mid;
  }
  return NULL;
}
