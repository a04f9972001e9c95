/*
 * weir/timer.h - service "weir.timer/1": one-shot timers on the instance's lane, on the clock of now_mono_ns.
 */
#ifndef WEIR_TIMER_H
#define WEIR_TIMER_H

#include <weir/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_TIMER_SERVICE "weir.timer/1"

struct weir_timer;

struct weir_timer_service {
  uint32_t size, reserved;
  /* A timer that calls fn(arg) on the lane. Never NULL. [lane] */
  struct weir_timer *(*timer_new)(struct weir_stage *, weir_fn_f *, void *arg);
  /* (Re)arms it, delay_ns from now; it fires once. [lane] */
  void (*set)(struct weir_timer *, int64_t delay_ns);
  /* Disarms: fn is not called any more until set. [lane] */
  void (*cancel)(struct weir_timer *);
  /* Disarms and frees. NULL is allowed. [lane] */
  void (*timer_free)(struct weir_timer *);
};

#ifdef __cplusplus
}
#endif
#endif
