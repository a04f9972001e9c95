#include "core/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/holder.h"
#include "core/log.h"
#include "core/parse.h"

#define BACKLOG 1024
#define PAUSE_NS (100 * NS_PER_MS) /* accept pauses this long when descriptors run out */
#define MAX_MEMBERS 256 /* lanes, of a few generations */
#define ACCEPTS_PER_EVENT 64

struct listener_member {
  struct listener *listener;
  struct loop *loop;
  listener_conn_f *on_conn;
  void *arg;
  char *owner;
  const char *protocol;
  uint32_t generation;
  int yields; /* it is about to leave: others may join its listener */
  _Atomic int left;      /* written on its lane, read where the listener accepts */
  _Atomic uint32_t refs; /* its owner, and its connections from when they are handed over */
};

struct listener {
  char *endpoint, *path; /* path: of a unix socket, removed when it closes */
  dev_t path_dev;
  ino_t path_ino;
  int fd, port, n_members;
  _Atomic int accepting;
  _Atomic uint32_t n_connections; /* open now, of all members */
  struct loop *loop; /* accepts */
  uv_poll_t poll;
  struct timer resume;
  pthread_mutex_t lock; /* members: joined and left on several lanes */
  struct listener_member *members[MAX_MEMBERS];
  struct listeners *all;
  struct listener *next;
};

struct listener_claim {
  struct listeners *all;
  char *owner, *endpoint;
  int yields;
  struct listener_claim *next;
};

struct listeners {
  pthread_mutex_t lock;
  struct listener_claim *claims;
  struct listener *first, *gone; /* gone: closed, kept because a connection may still be on its way to a member */
  uint32_t generation;
};

struct listeners *listeners_new(void) {
  struct listeners *ls = calloc(1, sizeof *ls);
  WEIR_ASSERT(ls != NULL);
  pthread_mutex_init(&ls->lock, NULL);
  return ls;
}

uint32_t listener_connections(const struct listener_member *m) { return atomic_load_explicit(&m->listener->n_connections, memory_order_relaxed); }

static void unref(struct listener_member *m) {
  if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
  free(m->owner);
  free(m);
}

void listener_conn_closed(struct listener_member *m) {
  atomic_fetch_sub_explicit(&m->loop->n_connections, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(&m->listener->n_connections, 1, memory_order_relaxed);
  unref(m);
}

void listener_release(struct listener_member *m) {
  if (!m) return;
  WEIR_ASSERT(m->left);
  unref(m);
}

/* --- accepting ------------------------------------------------------------------------------------------ */

struct handover {
  struct listener_member *member;
  int fd;
};

static void hand_over(struct listener *l, int fd);

static void arrive(void *arg) {
  struct handover *h = arg;
  struct listener_member *m = h->member;
  if (m->left) {
    if (m->listener->accepting) hand_over(m->listener, h->fd); /* it went to one that was leaving: its successor takes it */
    else close(h->fd);
    listener_conn_closed(m);
  } else {
    m->on_conn(m->arg, h->fd);
  }
  free(h);
}

/* Of the newest generation, the member whose lane has the fewest connections. The count is raised here, so that a burst spreads; whoever takes the
 * connection lowers it. */
static struct listener_member *choose(struct listener *l) {
  struct listener_member *least = NULL;
  pthread_mutex_lock(&l->lock);
  for (int i = 0; i < l->n_members; i++) {
    struct listener_member *m = l->members[i];
    if (!least || m->generation > least->generation ||
      (m->generation == least->generation && atomic_load(&m->loop->n_connections) < atomic_load(&least->loop->n_connections)))
      least = m;
  }
  if (least) {
    atomic_fetch_add_explicit(&least->refs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&least->loop->n_connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->n_connections, 1, memory_order_relaxed);
  }
  pthread_mutex_unlock(&l->lock);
  return least;
}

static void hand_over(struct listener *l, int fd) {
  struct listener_member *m = choose(l);
  if (!m) {
    close(fd);
    return;
  }
  if (m->loop == loop_current()) {
    m->on_conn(m->arg, fd);
    return;
  }
  struct handover *h = malloc(sizeof *h);
  WEIR_ASSERT(h != NULL);
  h->member = m;
  h->fd = fd;
  loop_post(m->loop, arrive, h);
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void resume(void *arg) {
  struct listener *l = arg;
  if (l->accepting) uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  struct listener *l = poll->data;
  (void)events;
  if (status < 0) return;
  for (int i = 0; i < ACCEPTS_PER_EVENT && l->accepting; i++) {
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      hand_over(l, fd);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      log_warn("listener", "%s: no more connections for now: %s; raise the limit of open files (ulimit -n)", l->endpoint, strerror(errno));
      uv_poll_stop(&l->poll); /* the socket stays readable: polling on would spin */
      timer_set(l->loop, &l->resume, PAUSE_NS);
    }
    return;
  }
}

/* --- binding ---------------------------------------------------------------------------------------------- */

static int bind_failed(const char *endpoint, const char *path, int port, int e, struct weir_error *err) {
  char holder[128], self[32];
  if (e == EADDRINUSE && (path || port > 0)) {
    holder_name(path, port, holder, sizeof holder);
    snprintf(self, sizeof self, "(pid %d)", (int)getpid());
    int own = strstr(holder, self) != NULL;
    weir_fail(err, WEIR_E_IO, "%s is in use by %s", endpoint, own ? "another component of this process" : holder);
    weir_hint(err, own ? "give each its own endpoint" : "stop it, or choose another endpoint");
    return WEIR_E_IO;
  }
  weir_fail(err, WEIR_E_IO, "cannot listen on %s: %s", endpoint, strerror(e));
  if (path && e == EACCES) weir_hint(err, "this user may not make a file in that directory");
  else if (path && e == ENOENT) weir_hint(err, "make the directory first");
  else if (e == EACCES) weir_hint(err, "ports below 1024 need rights; choose a higher one");
  if (e == EADDRNOTAVAIL) weir_hint(err, "this machine has no such address");
  return WEIR_E_IO;
}

/* An IPv6 socket takes IPv4 connections too only when it stands for all addresses. */
static int open_socket(const struct sockaddr *addr, socklen_t len, int all, int *ret_errno) {
  int one = 1, only6 = !all, fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && addr->sa_family != AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (fd >= 0 && addr->sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof only6);
  if (fd < 0 || bind(fd, addr, len) || listen(fd, BACKLOG)) {
    *ret_errno = errno;
    if (fd >= 0) close(fd);
    return -1;
  }
  return fd;
}

/* Makes way: a socket that nobody listens on was left by a process that is gone. What is no socket stays. 0, or the error. */
static int clear_path(const char *endpoint, const struct sockaddr_un *un, struct weir_error *err) {
  struct stat st;
  if (lstat(un->sun_path, &st)) return 0;
  if (!S_ISSOCK(st.st_mode)) {
    weir_fail(err, WEIR_E_IO, "cannot listen on %s: there is a file that is no socket", endpoint);
    weir_hint(err, "remove it, or choose another path");
    return WEIR_E_IO;
  }
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0; /* an owner whose backlog is full lives, too */
  if (probe >= 0 && connect(probe, (const struct sockaddr *)un, sizeof *un) && errno == ECONNREFUSED && unlink(un->sun_path))
    r = weir_fail(err, WEIR_E_IO, "cannot remove the socket that a process left at %s: %s", endpoint, strerror(errno));
  if (probe >= 0) close(probe);
  return r;
}

static int check_path(const char *path, struct weir_error *err) {
  const size_t max = sizeof((struct sockaddr_un *)0)->sun_path - 1;
  if (*path != '/') {
    weir_fail(err, WEIR_E_CONFIG, "`%s` is no path of a socket", path);
    weir_hint(err, *path == '@' ? "abstract sockets are not supported: write unix:///path" : "write unix:///path, with an absolute path");
    return WEIR_E_CONFIG;
  }
  return strlen(path) > max ? weir_fail(err, WEIR_E_CONFIG, "the socket path %s is longer than %zu bytes", path, max) : 0;
}

static int bind_unix(struct listener *l, const char *path, struct weir_error *err) {
  struct sockaddr_un un = { .sun_family = AF_UNIX };
  struct stat st;
  int e = 0, r = check_path(path, err);
  if (r) return r;
  memcpy(un.sun_path, path, strlen(path) + 1);
  if ((r = clear_path(l->endpoint, &un, err))) return r;
  l->fd = open_socket((struct sockaddr *)&un, sizeof un, 0, &e);
  if (l->fd < 0) return bind_failed(l->endpoint, path, 0, e, err);
  l->path = strdup(path);
  if (stat(path, &st) == 0) l->path_dev = st.st_dev, l->path_ino = st.st_ino;
  l->port = -1;
  return 0;
}

static int bind_tcp(struct listener *l, const char *host, int port, struct weir_error *err) {
  struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *list = NULL;
  char service[16];
  int e = EADDRNOTAVAIL, all = *host == 0;
  snprintf(service, sizeof service, "%d", port);
  if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
  struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
  if (all) l->fd = open_socket((struct sockaddr *)&any6, sizeof any6, 1, &e);
  int r = l->fd >= 0 || (all && e == EADDRINUSE) ? 0 : getaddrinfo(all ? "0.0.0.0" : host, service, &hints, &list); /* a machine without IPv6 */
  if (r) return weir_fail(err, WEIR_E_CONFIG, "cannot resolve %s: %s", l->endpoint, gai_strerror(r));
  for (struct addrinfo *a = list; a && l->fd < 0; a = a->ai_next) l->fd = open_socket(a->ai_addr, a->ai_addrlen, 0, &e);
  if (list) freeaddrinfo(list);
  if (l->fd < 0) return bind_failed(l->endpoint, NULL, port, e, err);
  struct sockaddr_storage bound;
  socklen_t len = sizeof bound;
  l->port = port;
  if (getsockname(l->fd, (struct sockaddr *)&bound, &len) == 0)
    l->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
  return 0;
}

/* The path goes unless another process has put its own socket there, as a new weir does while this one drains: told by the inode, which nobody else can have
 * while our descriptor is open. */
static void close_socket(struct listener *l) {
  struct stat st;
  if (l->fd < 0) return;
  if (l->path && stat(l->path, &st) == 0 && st.st_dev == l->path_dev && st.st_ino == l->path_ino) unlink(l->path);
  close(l->fd);
  l->fd = -1;
}

static void listener_free(struct listener *l) {
  close_socket(l);
  pthread_mutex_destroy(&l->lock);
  free(l->path);
  free(l->endpoint);
  free(l);
}

void listeners_free(struct listeners *ls) {
  if (!ls) return;
  WEIR_ASSERT(ls->first == NULL && ls->claims == NULL);
  for (struct listener *l = ls->gone, *next; l; l = next) {
    next = l->next;
    listener_free(l);
  }
  pthread_mutex_destroy(&ls->lock);
  free(ls);
}

/* Who else listens there and stays; NULL = none. */
static const struct listener_member *held_by(const struct listener *l, const char *owner, const char *protocol) {
  for (int i = 0; i < l->n_members; i++) {
    const struct listener_member *m = l->members[i];
    if (!m->yields && (strcmp(m->owner, owner) != 0 || strcmp(m->protocol, protocol) != 0)) return m;
  }
  return NULL;
}

static int is_any_port(const char *endpoint) { return strcmp(endpoint + strlen(endpoint) - 2, ":0") == 0; }

static int in_use(const char *endpoint, const char *owner, struct weir_error *err) {
  weir_fail(err, WEIR_E_CONFIG, "%s is in use by `%s` of this configuration", endpoint, owner);
  weir_hint(err, "give each its own endpoint");
  return WEIR_E_CONFIG;
}

/* An engine binds its own socket, and what it holds it cannot give to another. */
static int other_engine(const char *endpoint, const char *engine, const char *owner, struct weir_error *err) {
  weir_fail(err, WEIR_E_CONFIG, "%s is held by the engine %s of `%s`, and cannot go to another engine or component while weir runs", endpoint, engine, owner);
  weir_hint(err, "restart weir");
  return WEIR_E_CONFIG;
}

/* 0, or the sentence about the claim on this address. */
static int check_claims(const struct listeners *ls, const char *owner, const char *endpoint, struct weir_error *err) {
  for (const struct listener_claim *c = is_any_port(endpoint) ? NULL : ls->claims; c; c = c->next) {
    if (strcmp(c->endpoint, endpoint) != 0) continue;
    int goes = c->yields || strcmp(c->owner, owner) == 0;
    return goes ? other_engine(endpoint, "core", c->owner, err) : in_use(endpoint, c->owner, err);
  }
  return 0;
}

/* The listener to join, or NULL when there is none yet. 0, or one sentence about who has the address. */
static int find_listener(struct listeners *ls, const char *owner, const char *protocol, const char *endpoint, struct listener **ret, struct weir_error *err) {
  int any_port = is_any_port(endpoint), r = check_claims(ls, owner, endpoint, err);
  *ret = NULL;
  for (struct listener *l = r ? NULL : ls->first; l && !*ret; l = l->next) {
    if (strcmp(l->endpoint, endpoint) != 0 || !l->accepting || l->port == 0) continue;
    const struct listener_member *other = held_by(l, owner, protocol);
    if (!other) *ret = l;
    if (!other || any_port) continue;
    r = in_use(endpoint, other->owner, err);
    if (strcmp(other->owner, owner) == 0) weir_hint(err, "it serves %s there: give each protocol its own endpoint", other->protocol);
    return r;
  }
  return r;
}

static int split_endpoint(const char *endpoint, char *host, size_t cap, int *port, struct weir_error *err) {
  int r = parse_endpoint(endpoint, host, cap, port);
  if (!r) return 0;
  weir_fail(err, WEIR_E_CONFIG, r == WEIR_E_LIMIT && strlen(endpoint) < cap ? "`%.200s` is no address to listen on: the highest port is 65535" : "`%.200s` is no address to listen on", endpoint);
  weir_hint(err, "write host:port, such as 127.0.0.1:4317, [::1]:4317, :4317 for all addresses, or unix:///path");
  return WEIR_E_CONFIG;
}

/* What is written in digits must be an address; names are looked up when they are bound. */
int listener_check(const char *endpoint, struct weir_error *err) {
  struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *list = NULL;
  char host[256];
  int port = 0;
  if (split_endpoint(endpoint, host, sizeof host, &port, err)) return WEIR_E_CONFIG;
  if (port < 0) return check_path(host, err);
  int digits = strchr(host, ':') || host[strspn(host, "0123456789.")] == 0;
  if (!*host || !digits || strchr(host, '%')) return 0; /* fe80::1%eth0 is for the machine that has it */
  if (getaddrinfo(host, NULL, &hints, &list)) {
    weir_fail(err, WEIR_E_CONFIG, "`%s` is no IP address", host);
    weir_hint(err, "write 127.0.0.1:4317, [::1]:4317, or a name instead");
    return WEIR_E_CONFIG;
  }
  freeaddrinfo(list);
  return 0;
}

static struct listener *listener_new(const char *endpoint) {
  struct listener *l = calloc(1, sizeof *l);
  WEIR_ASSERT(l != NULL);
  l->fd = -1;
  l->endpoint = strdup(endpoint);
  l->resume.fn = resume;
  l->resume.arg = l;
  pthread_mutex_init(&l->lock, NULL);
  WEIR_ASSERT(l->endpoint != NULL);
  return l;
}

/* Binds and closes again. */
static int probe(const char *endpoint, struct weir_error *err) {
  char host[256];
  int port = 0;
  if (split_endpoint(endpoint, host, sizeof host, &port, err)) return WEIR_E_CONFIG;
  struct listener *l = listener_new(endpoint);
  int r = port < 0 ? bind_unix(l, host, err) : bind_tcp(l, host, port, err);
  listener_free(l);
  return r;
}

int listener_claim(struct listeners *ls, const char *owner, const char *endpoint, struct listener_claim **ret, struct weir_error *err) {
  pthread_mutex_lock(&ls->lock);
  int r = check_claims(ls, owner, endpoint, err);
  for (struct listener *l = r || is_any_port(endpoint) ? NULL : ls->first; l && !r; l = l->next) {
    if (strcmp(l->endpoint, endpoint) != 0 || !l->n_members) continue;
    const struct listener_member *m = l->members[0];
    int goes = m->yields || strcmp(m->owner, owner) == 0;
    r = goes ? other_engine(endpoint, "native", m->owner, err) : in_use(endpoint, m->owner, err);
  }
  if (!r) r = probe(endpoint, err);
  if (!r) {
    struct listener_claim *c = calloc(1, sizeof *c);
    WEIR_ASSERT(c != NULL);
    *c = (struct listener_claim){ ls, strdup(owner), strdup(endpoint), 0, ls->claims };
    WEIR_ASSERT(c->owner && c->endpoint);
    *ret = ls->claims = c;
  }
  pthread_mutex_unlock(&ls->lock);
  return r;
}

void listener_unclaim(struct listener_claim *c) {
  if (!c) return;
  pthread_mutex_lock(&c->all->lock);
  struct listener_claim **at = &c->all->claims;
  while (*at != c) at = &(*at)->next;
  *at = c->next;
  pthread_mutex_unlock(&c->all->lock);
  free(c->owner);
  free(c->endpoint);
  free(c);
}

static int listener_open(struct listeners *ls, struct loop *loop, const char *endpoint, struct listener **ret, struct weir_error *err) {
  char host[256];
  int port = 0;
  if (split_endpoint(endpoint, host, sizeof host, &port, err)) return WEIR_E_CONFIG;
  struct listener *l = listener_new(endpoint);
  l->all = ls;
  l->loop = loop;
  int r = port < 0 ? bind_unix(l, host, err) : bind_tcp(l, host, port, err);
  if (!r && uv_poll_init(&loop->uv, &l->poll, l->fd)) r = weir_fail(err, WEIR_E_IO, "cannot poll %s", endpoint);
  if (r) {
    listener_free(l);
    return r;
  }
  l->poll.data = l;
  l->accepting = 1;
  uv_poll_start(&l->poll, UV_READABLE, on_readable);
  *ret = l;
  return 0;
}

void listeners_next_generation(struct listeners *ls) {
  pthread_mutex_lock(&ls->lock);
  ls->generation++;
  for (struct listener_claim *c = ls->claims; c; c = c->next) c->yields = 0; /* the last reload's */
  pthread_mutex_unlock(&ls->lock);
}

void listeners_yield(struct listeners *ls, const char *owner, int yields) {
  pthread_mutex_lock(&ls->lock);
  for (struct listener *l = ls->first; l; l = l->next)
    for (int i = 0; i < l->n_members; i++)
      if (strcmp(l->members[i]->owner, owner) == 0) l->members[i]->yields = yields;
  for (struct listener_claim *c = ls->claims; c; c = c->next)
    if (strcmp(c->owner, owner) == 0) c->yields = yields;
  pthread_mutex_unlock(&ls->lock);
}

int listener_join(struct listeners *ls, struct loop *loop, const char *owner, const char *protocol, const char *endpoint, listener_conn_f *on_conn, void *arg,
  struct listener_member **ret, struct weir_error *err) {
  struct listener *l = NULL;
  pthread_mutex_lock(&ls->lock);
  int r = find_listener(ls, owner, protocol, endpoint, &l, err);
  if (!r && !l && !(r = listener_open(ls, loop, endpoint, &l, err))) {
    l->next = ls->first;
    ls->first = l;
  }
  if (!r && l->n_members == MAX_MEMBERS) r = weir_fail(err, WEIR_E_LIMIT, "more than %d lanes listen on %s", MAX_MEMBERS, endpoint);
  if (!r) {
    struct listener_member *m = calloc(1, sizeof *m);
    WEIR_ASSERT(m != NULL);
    m->listener = l;
    m->loop = loop;
    m->on_conn = on_conn;
    m->arg = arg;
    m->owner = strdup(owner);
    m->protocol = protocol;
    WEIR_ASSERT(m->owner != NULL);
    m->generation = ls->generation;
    atomic_init(&m->refs, 1);
    pthread_mutex_lock(&l->lock);
    l->members[l->n_members++] = m;
    pthread_mutex_unlock(&l->lock);
    *ret = m;
  }
  pthread_mutex_unlock(&ls->lock);
  return r;
}

int listener_port(const struct listener_member *m) { return m->listener->port; }

static void on_poll_closed(uv_handle_t *h) {
  struct listener *l = h->data;
  close_socket(l);
  pthread_mutex_lock(&l->all->lock);
  l->next = l->all->gone;
  l->all->gone = l;
  pthread_mutex_unlock(&l->all->lock);
}

static void close_poll(void *arg) {
  struct listener *l = arg;
  timer_cancel(l->loop, &l->resume);
  uv_close((uv_handle_t *)&l->poll, on_poll_closed);
}

static void stop_accepting(void *arg) {
  struct listener *l = arg;
  if (uv_is_closing((uv_handle_t *)&l->poll)) return; /* the last one left meanwhile, on another lane */
  timer_cancel(l->loop, &l->resume);
  uv_poll_stop(&l->poll);
  shutdown(l->fd, SHUT_RD); /* refuses from now on; the descriptor goes with the last member */
}

int listener_succeeded(const struct listener_member *m) {
  struct listener *l = m->listener;
  int newer = 0;
  pthread_mutex_lock(&l->lock);
  for (int i = 0; i < l->n_members; i++) newer |= l->members[i]->generation > m->generation;
  pthread_mutex_unlock(&l->lock);
  return newer;
}

/* Takes the member off its listener. Returns how many of other generations stay; *ret_left is how many stay at all. */
static int take_off(struct listener_member *m, int *ret_left) {
  struct listener *l = m->listener;
  int others = 0;
  pthread_mutex_lock(&l->lock);
  m->left = 1;
  for (int i = 0; i < l->n_members; i++)
    if (l->members[i] == m) l->members[i--] = l->members[--l->n_members];
  for (int i = 0; i < l->n_members; i++) others += l->members[i]->generation != m->generation;
  *ret_left = l->n_members;
  pthread_mutex_unlock(&l->lock);
  return others;
}

void listener_leave(struct listener_member *m) {
  if (!m || m->left) return;
  struct listener *l = m->listener;
  int left, stop;
  pthread_mutex_lock(&l->all->lock);
  stop = take_off(m, &left) == 0 && l->accepting;
  if (stop) l->accepting = 0; /* at once: nobody may join what is closing */
  if (left == 0)
    for (struct listener **at = &l->all->first; *at; at = &(*at)->next)
      if (*at == l) {
        *at = l->next;
        break;
      }
  pthread_mutex_unlock(&l->all->lock);
  int here = loop_current() == l->loop || !atomic_load(&l->loop->running);
  if (stop && here) stop_accepting(l);
  else if (stop) loop_post(l->loop, stop_accepting, l);
  if (left) return;
  if (here) close_poll(l);
  else loop_post(l->loop, close_poll, l);
}
