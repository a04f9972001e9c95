/*
 * weir/health.h - service "weir.health/1": what the process says of itself.
 */
#ifndef WEIR_HEALTH_H
#define WEIR_HEALTH_H

#include <weir/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_HEALTH_SERVICE "weir.health/1"

#define WEIR_HEALTH_STARTING 0
#define WEIR_HEALTH_READY 1
#define WEIR_HEALTH_STOPPING 2
#define WEIR_HEALTH_FAILED 3

struct weir_health_service {
  uint32_t size, reserved;
  /* One of WEIR_HEALTH_*. [any] */
  int (*state)(void);
  /* When it last became ready, Unix nanoseconds; 0 = not yet. [any] */
  int64_t (*ready_since_unix_ns)(void);
};

#ifdef __cplusplus
}
#endif
#endif
