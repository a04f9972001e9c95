#include "plugins/grpc_engine.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/compress.h"
#include "core/listener.h"
#include "core/log.h"
#include "core/otlp.h"
#include "core/parse.h"

#define RUNTIME_PACKAGE "libgrpc29"  /* Debian 12: gRPC 1.51 */
#define BUILD_PACKAGE "libgrpc-dev"

static void panic(const char *expr, const char *file, int line, const char *func) { assert_panic(expr, file, line, func); }

static const struct grpc_host host_table = {
  .size = sizeof host_table,
  .loop_size = sizeof(struct loop),
  .version = WEIR_VERSION,
  .panic = panic,
  .log = log_vwrite,
  .now_mono_ns = clock_mono_ns,
  .post = loop_post,
  .defer = loop_defer,
  .current = loop_current,
  .body_new = body_new,
  .body_overdraw = body_overdraw,
  .body_free = body_free,
  .deflate = compress_deflate,
  .message_read = grpc_message_read,
  .message_over = grpc_message_over,
  .status_make = rpc_status_make,
  .status_parse = rpc_status_parse,
  .endpoint_parse = parse_endpoint,
  .listen_claim = listener_claim,
  .listen_unclaim = listener_unclaim,
  .tls_begin = tls_use_begin,
  .tls_end = tls_use_end,
  .tls_texts = tls_texts_of,
  .tls_release = tls_texts_release,
};

/* The loader's sentence, and for the library itself the package that has it. */
static int cannot_load(const char *path, const char *why, struct weir_error *err) {
  if (strstr(why, "libgrpc.so") || strstr(why, "libgpr.so")) {
    weir_fail(err, WEIR_E_UNSUPPORTED, "engine: core needs gRPC's library, which is not installed (%.120s)", why);
    weir_hint(err, "apt-get install " RUNTIME_PACKAGE ", or remove `engine: core`");
  } else {
    weir_fail(err, WEIR_E_UNSUPPORTED, "cannot load %.200s: %.200s", path, why);
  }
  return WEIR_E_UNSUPPORTED;
}

int grpc_engine_load(const char *path, const struct grpc_engine **ret, struct weir_error *err) {
  void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* never closed: gRPC's threads and thread-local state point into it */
  if (!so) return cannot_load(path, dlerror(), err);
  grpc_core_init_f *init;
  void *symbol = dlsym(so, GRPC_CORE_INIT);
  if (!symbol) return weir_fail(err, WEIR_E_UNSUPPORTED, "%s is no gRPC engine: it has no " GRPC_CORE_INIT, path);
  memcpy(&init, &symbol, sizeof init); /* ISO C has no cast from void * to a function */
  return init(&host_table, ret, err);
}

static int find_core(const struct grpc_engine **ret, struct weir_error *err) {
  static const char *const places[] = { "engines", "../lib/weir/engines" };
  char exe[3000], path[3100];
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (n <= 0) return weir_fail(err, WEIR_E_IO, "cannot read /proc/self/exe, and so cannot find the gRPC engine");
  exe[n] = 0;
  *strrchr(exe, '/') = 0;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    snprintf(path, sizeof path, "%s/%s/grpc_core.so", exe, places[i]);
    if (access(path, F_OK) == 0) return grpc_engine_load(path, ret, err);
  }
  weir_fail(err, WEIR_E_UNSUPPORTED, "engine: core is not part of this build: there is no engines/grpc_core.so beside the program");
  weir_hint(err, "apt-get install " BUILD_PACKAGE " and build again, or remove `engine: core`");
  return WEIR_E_UNSUPPORTED;
}

int grpc_engine_find(const char *name, const struct grpc_engine **ret, struct weir_error *err) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static const struct grpc_engine *core;
  int r = 0;
  if (!name || !*name || !strcmp(name, grpc_native.name)) {
    *ret = &grpc_native;
    return 0;
  }
  if (strcmp(name, "core") != 0) return weir_fail_field(err, "engine", "\"%s\" is no gRPC engine: use native or core", name);
  pthread_mutex_lock(&lock);
  if (!core) r = find_core(&core, err);
  *ret = core;
  pthread_mutex_unlock(&lock);
  if (r) snprintf(err->field, sizeof err->field, "engine");
  return r;
}
