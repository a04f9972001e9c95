/*
 * plugins/loader.h - opening one plugin file: refused by its ELF note before any of its code runs, then loaded for good.
 *
 * Every refusal is one sentence in err->msg, with what to do in err->hint. Nothing is ever dlclosed: unloading code that has threads or thread-local data crashes.
 * Threads: [control].
 */
#ifndef PLUGINS_LOADER_H
#define PLUGINS_LOADER_H

#include <weir/stage.h>

/* Checks the file and its directory (not writable by everyone), the ELF header and the weir note, opens it, and copies the plugin's head into *ret,
 * which is zeroed behind what an older plugin has. real_path: the resolved name, at least PATH_MAX bytes. */
int loader_open(const char *path, char *real_path, struct weir_plugin *ret, struct weir_error *);

#endif
