/*
 * tests/unit/core/cert_fixture.h - certificates made once per run (tests/tools/certs.sh), settings that use them, and secrets that are renewed.
 */
#ifndef TESTS_UNIT_CORE_CERT_FIXTURE_H
#define TESTS_UNIT_CORE_CERT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/assert.h"
#include "core/tls.h"

static char certs[64], engine_path[300];

/* A path in the folder of certificates; it stays valid. */
static inline const char *cert(const char *name) {
  static char paths[512][160];
  static int n;
  char p[160];
  int i = 0;
  snprintf(p, sizeof p, "%s/%s", certs, name);
  while (i < n && strcmp(paths[i], p) != 0) i++;
  WEIR_ASSERT(i < 512);
  if (i == n) strcpy(paths[n++], p);
  return paths[i];
}

static inline int tls_group_setup(void **state) {
  char command[200];
  const char *build = getenv("WEIR_BUILD");
  (void)state;
  snprintf(certs, sizeof certs, "/tmp/weir-test-certs-XXXXXX");
  if (!mkdtemp(certs)) return -1;
  snprintf(command, sizeof command, "tests/tools/certs.sh %s", certs);
  snprintf(engine_path, sizeof engine_path, "%s/engines/tls.so", build ? build : "build");
  tls_engine_path(engine_path);
  return system(command);
}

static inline int tls_group_teardown(void **state) {
  char command[200];
  (void)state;
  snprintf(command, sizeof command, "rm -rf %s", certs);
  return system(command);
}

static inline struct weir_tls_config tls_server(const char *pem, const char *key) {
  return (struct weir_tls_config){ .size = sizeof(struct weir_tls_config), .owner = "test", .cert_file = cert(pem), .key_file = cert(key) };
}

static inline struct weir_tls_config tls_client(const char *ca) {
  return (struct weir_tls_config){ .size = sizeof(struct weir_tls_config), .owner = "client", .ca_file = cert(ca) };
}

/* A file takes the place of another, as editors and certbot do it. */
static inline void cert_copy(const char *from, const char *to) {
  char command[400];
  snprintf(command, sizeof command, "cd %s && cp %s %s.new && mv %s.new %s", certs, from, to, to, to);
  assert_int_equal(system(command), 0);
}

/* Folder NAME as Kubernetes lays out a secret: tls.crt -> ..data/tls.crt, ..data -> a folder of a version: v1 has `server`, v2 `stranger`. */
static inline void cert_secret(const char *name) {
  char command[700];
  snprintf(command, sizeof command,
    "cd %s && rm -rf %s && mkdir -p %s/v1 %s/v2 && cp server.pem %s/v1/tls.crt && cp server.key %s/v1/tls.key && cp stranger.pem %s/v2/tls.crt && cp stranger.key %s/v2/tls.key"
    " && cd %s && ln -s v1 ..data && ln -s ..data/tls.crt tls.crt && ln -s ..data/tls.key tls.key",
    certs, name, name, name, name, name, name, name, name);
  assert_int_equal(system(command), 0);
}

static inline void cert_swap(const char *name, const char *version) {
  char command[300];
  snprintf(command, sizeof command, "cd %s/%s && ln -s %s ..new && mv -T ..new ..data", certs, name, version);
  assert_int_equal(system(command), 0);
}

#endif
