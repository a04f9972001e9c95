/*
 * weir/memory.h - service "weir.memory/1": how much memory data takes in the process, and how much there is.
 */
#ifndef WEIR_MEMORY_H
#define WEIR_MEMORY_H

#include <weir/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_MEMORY_SERVICE "weir.memory/1"

struct weir_memory_service {
  uint32_t size, reserved;
  /* Bytes that bodies, trees and queues of all stages hold now. [any] */
  uint64_t (*used_bytes)(struct weir_stage *);
  /* What the process may take: the least of its cgroup's limit (v1 or v2) and the machine's memory. [any] */
  uint64_t (*total_bytes)(void);
  /* Charges memory that a stage keeps data in to the process's byte budget (service.memory_limit). 0, or WEIR_E_NOMEM with nothing charged. [lane] */
  int (*take)(struct weir_stage *, uint64_t n);
  void (*give)(struct weir_stage *, uint64_t n); /* gives it back. [lane or control] */
  /* The limit of that budget; 0 = none. [any] */
  uint64_t (*limit_bytes)(struct weir_stage *);
};

#ifdef __cplusplus
}
#endif
#endif
