#include "pipelines/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "pipelines/run.h"

#define PEERS_MAX 16u
#define LINE_MAX_N 512u
#define PEER_TIMEOUT_NS (10 * NS_PER_S) /* to send the command, and to take the answer */

struct peer {
  uv_pipe_t pipe;
  uv_write_t write;
  struct control *control;
  struct timer timer;
  char line[LINE_MAX_N], buf[LINE_MAX_N];
  size_t n;
  char *reply;
  struct control_request *request; /* its answer comes later */
  struct peer *next, **at;
};

struct control_request {
  struct peer *peer; /* NULL: it is gone */
};

struct control {
  struct loop *loop;
  uv_pipe_t server;
  char *path;
  control_command_f *command;
  void *arg;
  struct peer *peers;
  uint32_t n_peers;
};

const char *control_default_path(char *buf, size_t cap) {
  const char *dir = getenv("XDG_RUNTIME_DIR");
  if (!dir || !*dir || (size_t)snprintf(buf, cap, "%s/weir.sock", dir) >= cap) return NULL;
  return buf;
}

/* --- one command ----------------------------------------------------------------------------------------------- */

static void on_peer_closed(uv_handle_t *h) {
  struct peer *p = h->data;
  free(p->reply);
  free(p);
}

static void end(void *arg) {
  struct peer *p = arg;
  if (uv_is_closing((uv_handle_t *)&p->pipe)) return;
  timer_cancel(p->control->loop, &p->timer);
  if (p->request) p->request->peer = NULL;
  *p->at = p->next;
  if (p->next) p->next->at = p->at;
  p->control->n_peers--;
  uv_close((uv_handle_t *)&p->pipe, on_peer_closed);
}

static void on_written(uv_write_t *w, int status) {
  (void)status;
  end(w->data);
}

static void reply(struct peer *p, int code, const char *text) {
  size_t cap = (text ? strlen(text) : 0) + 16;
  p->reply = malloc(cap);
  WEIR_ASSERT(p->reply != NULL);
  int n = snprintf(p->reply, cap, "%d\n%s", code, text ? text : "");
  uv_buf_t buf = uv_buf_init(p->reply, (unsigned)n);
  p->write.data = p;
  timer_set(p->control->loop, &p->timer, PEER_TIMEOUT_NS);
  if (uv_write(&p->write, (uv_stream_t *)&p->pipe, &buf, 1, on_written)) end(p);
}

void control_answer(struct control_request *q, int code, char *text) {
  struct peer *p = q->peer;
  if (p) p->request = NULL;
  if (p) reply(p, code, text);
  free(text);
  free(q);
}

static void obey(struct peer *p) {
  char *text = NULL;
  struct control_request *q = calloc(1, sizeof *q);
  WEIR_ASSERT(q != NULL);
  q->peer = p;
  p->request = q;
  uv_read_stop((uv_stream_t *)&p->pipe);
  timer_set(p->control->loop, &p->timer, PEER_TIMEOUT_NS);
  int code = p->control->command(p->control->arg, q, p->line, &text);
  if (code != CONTROL_LATER) control_answer(q, code, text);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
  struct peer *p = h->data;
  (void)suggested;
  *buf = uv_buf_init(p->buf, sizeof p->buf);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf) {
  struct peer *p = s->data;
  if (n < 0 || p->n + (size_t)n >= sizeof p->line) {
    end(p);
    return;
  }
  memcpy(p->line + p->n, buf->base, (size_t)n);
  p->n += (size_t)n;
  char *newline = memchr(p->line, '\n', p->n);
  if (!newline) return;
  *newline = 0;
  obey(p);
}

static void on_connection(uv_stream_t *server, int status) {
  struct control *c = server->data;
  struct peer *p = calloc(1, sizeof *p);
  WEIR_ASSERT(p != NULL);
  p->control = c;
  uv_pipe_init(&c->loop->uv, &p->pipe, 0);
  p->pipe.data = p;
  p->timer.fn = end;
  p->timer.arg = p;
  p->next = c->peers;
  p->at = &c->peers;
  if (p->next) p->next->at = &p->next;
  c->peers = p;
  c->n_peers++;
  timer_set(c->loop, &p->timer, PEER_TIMEOUT_NS);
  if (status < 0 || uv_accept(server, (uv_stream_t *)&p->pipe) || c->n_peers > PEERS_MAX || uv_read_start((uv_stream_t *)&p->pipe, on_alloc, on_read)) end(p);
}

/* --- the socket ------------------------------------------------------------------------------------------------ */

static int fill_address(struct sockaddr_un *un, const char *path) {
  *un = (struct sockaddr_un){ .sun_family = AF_UNIX };
  if (strlen(path) >= sizeof un->sun_path) return -1;
  memcpy(un->sun_path, path, strlen(path) + 1);
  return 0;
}

static int connect_to(const char *path, int *ret_errno) {
  struct sockaddr_un un;
  if (fill_address(&un, path)) {
    *ret_errno = ENAMETOOLONG;
    return -1;
  }
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof un) == 0) return fd;
  *ret_errno = errno;
  if (fd >= 0) close(fd);
  return -1;
}

static int check_folder(const char *path, struct weir_error *err) {
  char dir[sizeof((struct sockaddr_un *)0)->sun_path + 2];
  const char *slash = strrchr(path, '/');
  struct stat st;
  snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1, slash ? path : ".");
  if (stat(dir, &st)) {
    weir_hint(err, "make the folder, or set service.control.socket");
    return weir_fail(err, WEIR_E_IO, "the control socket %s: cannot look at its folder: %s", path, strerror(errno));
  }
  if (!(st.st_mode & S_IWOTH)) return 0;
  weir_hint(err, "set service.control.socket to a path in a folder that only this user can write to");
  return weir_fail(err, WEIR_E_CONFIG, "the control socket %s stands in a folder that everyone can write to", path);
}

/* Removes what a process that is gone has left. */
static int check_path(const char *path, struct weir_error *err) {
  struct sockaddr_un un;
  struct stat st;
  int e = 0;
  if (fill_address(&un, path)) return weir_fail(err, WEIR_E_CONFIG, "the control socket %.60s...: the path is longer than %zu bytes", path, sizeof un.sun_path - 1);
  if (check_folder(path, err)) return err->code;
  if (lstat(path, &st)) return 0;
  if (!S_ISSOCK(st.st_mode)) return weir_fail(err, WEIR_E_CONFIG, "the control socket %s: there is a file of that name", path);
  int fd = connect_to(path, &e);
  if (fd < 0 && e == ECONNREFUSED) {
    unlink(path);
    return 0;
  }
  if (fd >= 0) close(fd);
  weir_hint(err, "set service.control.socket to another path");
  return weir_fail(err, WEIR_E_IO, "the control socket %s is in use by another process", path);
}

static int bind_socket(const char *path, struct weir_error *err) {
  struct sockaddr_un un;
  if (check_path(path, err)) return -1;
  fill_address(&un, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  mode_t before = umask(0177); /* the socket is never open to others, not even before a chmod */
  int bad = fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un);
  int e = errno;
  umask(before);
  if (!bad) return fd;
  if (fd >= 0) close(fd);
  weir_fail(err, WEIR_E_IO, "the control socket %s: %s", path, strerror(e));
  return -1;
}

int control_start(struct loop *loop, const char *path, control_command_f *command, void *arg, struct control **ret, struct weir_error *err) {
  int fd = bind_socket(path, err);
  if (fd < 0) return err->code;
  struct control *c = calloc(1, sizeof *c);
  WEIR_ASSERT(c != NULL);
  *c = (struct control){ .loop = loop, .path = strdup(path), .command = command, .arg = arg };
  uv_pipe_init(&loop->uv, &c->server, 0);
  c->server.data = c;
  uv_pipe_open(&c->server, fd);
  *ret = c;
  int r = uv_listen((uv_stream_t *)&c->server, PEERS_MAX, on_connection);
  if (!r) return 0;
  control_stop(c);
  *ret = NULL;
  return weir_fail(err, WEIR_E_IO, "the control socket %s: %s", path, uv_strerror(r));
}

static void on_server_closed(uv_handle_t *h) {
  struct control *c = h->data;
  free(c->path);
  free(c);
}

void control_stop(struct control *c) {
  if (!c) return;
  while (c->peers) end(c->peers);
  unlink(c->path);
  uv_close((uv_handle_t *)&c->server, on_server_closed);
}

/* --- the client -------------------------------------------------------------------------------------------------- */

static int no_answer(const char *path, const char *why) {
  fprintf(stderr, "weir: no answer from %s: %s\n", path, why);
  fprintf(stderr, "  is weir running, as this user, and with that service.control.socket? --socket PATH names another one\n");
  return EXIT_FAILED;
}

static char *read_all(int fd) {
  size_t n = 0, cap = 4096;
  char *buf = malloc(cap);
  WEIR_ASSERT(buf != NULL);
  for (;;) {
    ssize_t got = read(fd, buf + n, cap - n - 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    n += (size_t)got;
    if (cap - n > 1) continue;
    cap *= 2;
    buf = realloc(buf, cap);
    WEIR_ASSERT(buf != NULL);
  }
  buf[n] = 0;
  return buf;
}

int control_ask(const char *path, const char *command) {
  char dflt[512], line[LINE_MAX_N];
  int e = 0;
  if (!path) path = control_default_path(dflt, sizeof dflt);
  if (!path) {
    fprintf(stderr, "weir: which process? XDG_RUNTIME_DIR is not set\n  weir %.*s --socket PATH, as in service.control.socket\n", (int)strcspn(command, " "), command);
    return EXIT_USAGE;
  }
  int n = snprintf(line, sizeof line, "%s\n", command);
  if (n < 0 || (size_t)n >= sizeof line) {
    fprintf(stderr, "weir: the command is longer than %u bytes\n", LINE_MAX_N - 1);
    return EXIT_USAGE;
  }
  int fd = connect_to(path, &e);
  if (fd < 0) return no_answer(path, strerror(e));
  if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != n) {
    close(fd);
    return no_answer(path, "it closed the connection");
  }
  char *reply = read_all(fd), *text = strchr(reply, '\n');
  close(fd);
  int code = text ? (int)strtol(reply, NULL, 10) : no_answer(path, "it closed the connection");
  if (text) fputs(text + 1, code ? stderr : stdout);
  free(reply);
  return code;
}
