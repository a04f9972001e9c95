/*
 * core/resolve.h - a name's addresses, by c-ares on the lane's loop: no thread, nothing kept between two resolutions.
 *
 * As getaddrinfo: the hosts file and DNS in the order of nsswitch.conf, search domains of resolv.conf, IPv6 and IPv4, sorted by RFC 6724. Other sources of
 * nsswitch.conf (mDNS, LDAP) are not asked. The files are read anew each time. Threads: [lane].
 */
#ifndef CORE_RESOLVE_H
#define CORE_RESOLVE_H

#include <sys/socket.h>

#include "core/loop.h"

#define RESOLVE_MAX 64u /* addresses of one name that are used */

struct resolve; /* one resolution under way */

/* n == 0: `why` says why. ttl_s: the shortest of the answers; 0 when none has one, as in the hosts file. */
typedef void resolve_f(void *arg, const struct sockaddr_storage *list, uint32_t n, int64_t ttl_s, const char *why);

/* server: NULL, or the DNS server to ask, "address[:port]". fn comes in a later step, once, unless cancelled. NULL: `why` was filled. */
struct resolve *resolve_start(struct loop *, const char *host, int port, const char *server, resolve_f *fn, void *arg, const char **ret_why);
void resolve_cancel(struct resolve *); /* NULL allowed */

#endif
