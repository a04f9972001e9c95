/*
 * plugins/host_services.h - the service tables that stages ask for by id. Thin: each call finds the stage's loop and goes to core.
 */
#ifndef PLUGINS_HOST_SERVICES_H
#define PLUGINS_HOST_SERVICES_H

struct weir_stage;

/* The table of this id ("weir.http/1"), or NULL. */
const void *host_service(struct weir_stage *, const char *id);

#endif
