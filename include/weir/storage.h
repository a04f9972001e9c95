/*
 * weir/storage.h - service "weir.storage/1", which extensions like file_storage offer to the host: where queues may stand on disk, and how they are kept.
 *
 * The host opens the queues (sending_queue.storage, sending_queue.dead_letter); the extension only says what its user wrote. Sizes are bytes, times nanoseconds.
 */
#ifndef WEIR_STORAGE_H
#define WEIR_STORAGE_H

#include <weir/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_STORAGE_SERVICE "weir.storage/1"

#define WEIR_STORAGE_CREATE 1u /* make the directory when it is missing */

#define WEIR_SYNC_ALWAYS 0u   /* acknowledged after fdatasync: survives power loss */
#define WEIR_SYNC_INTERVAL 1u /* acknowledged after write, fdatasync at every sync_interval_ns: survives kill -9 */
#define WEIR_SYNC_OS 2u       /* acknowledged after write; the system writes when it likes */

struct weir_storage_settings {
  uint32_t size, flags;
  const char *directory;
  uint32_t directory_mode, sync; /* 0750; WEIR_SYNC_* */
  uint64_t max_bytes;            /* of one queue */
  uint64_t segment_bytes;
  int64_t sync_interval_ns;
};

struct weir_storage {
  uint32_t size, reserved;
  /* Constant, and valid until the extension is closed. `self` as host->extension gave it. [control or lane] */
  const struct weir_storage_settings *(*settings)(void *self);
};

#ifdef __cplusplus
}
#endif
#endif
