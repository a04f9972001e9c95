/*
 * extensions/basicauth/htpasswd.h - htpasswd files: user names and password hashes.
 *
 * Lines `name:hash`, as Apache's htpasswd writes them; of a name that stands twice the last counts (so that `inline` overrides `file`). Kinds: bcrypt
 * ($2a$ $2b$ $2y$), MD5 ($apr1$ and $1$), SHA-crypt ($5$ $6$), yescrypt ($y$), {SHA}, {SSHA}; what begins with neither $ nor { is the password itself.
 * The table is immutable once it is made, and is read by all lanes.
 */
#ifndef BASICAUTH_HTPASSWD_H
#define BASICAUTH_HTPASSWD_H

#include <stddef.h>

#include <weir/error.h>

#define HTPASSWD_MAX_USERS 10000u
#define HTPASSWD_MAX_LINE 1024u    /* bytes of a line */
#define HTPASSWD_MAX_SECRET 512u   /* bytes of a password that is checked: longer ones match nothing */

struct htpasswd_user {
  const char *name, *hash; /* NUL-terminated */
  size_t name_n, at; /* at: which line of all */
};

struct htpasswd {
  struct htpasswd_user *users; /* sorted by name, each once */
  size_t n, cap;
  char *text[2];
  size_t text_n[2];
};

/* Reads two texts, `inline` over `file`; either may be NULL. Errors name a line and never what stands in it. */
int htpasswd_read(struct htpasswd *, const char *file, size_t file_n, const char *file_name, const char *inline_text, size_t inline_n, struct weir_error *);
void htpasswd_done(struct htpasswd *);
/* NULL: there is no such user. */
const struct htpasswd_user *htpasswd_find(const struct htpasswd *, const char *name, size_t n);
/* Whether checking takes long by design (0.1 to 1000 ms), so that it should not be done for every request. */
int htpasswd_is_costly(const struct htpasswd_user *);
/* Whether it is the user's password; no NUL in it. scratch: a struct crypt_data for costly kinds. [any] */
struct crypt_data;
int htpasswd_matches(const struct htpasswd_user *, const char *password, size_t n, struct crypt_data *scratch);
/* MD5-crypt with Apache's magic; `out` has room for 40 bytes. */
void htpasswd_apr1(const char *password, size_t n, const char *salt, size_t salt_n, char *out);

#endif
