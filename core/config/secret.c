// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From a reference to the secret behind it: an environment variable, a file, or what a command prints. The value goes
// into the caller's buffer and into the list of what must be masked, and nowhere else; no message repeats it.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/redact.h"
#include "config/inside.h"

int64_t dr_secret_timeout_ms = 10000;
#define EXEC_ARGUMENTS_MAX 64
#define POLL_MS 50
#define NAME_BYTES_MAX 256 // of one step of a path

extern char **environ;

// ---- the path ----

// Takes the next step of a path; NULL: no such node, or not a path. Here a plain name: up to a dot or bracket.
static const struct dr_node *step_plain(const struct dr_node *node, struct dray_str *path) {
  char name[NAME_BYTES_MAX];
  size_t len = 0;
  while (len < path->len && path->data[len] != '.' && path->data[len] != '[') len++;
  if (len >= sizeof(name)) return NULL;
  memcpy(name, path->data, len);
  name[len] = '\0';
  *path = dray_str_make(path->data + len, path->len - len);
  return dr_node_get(node, name);
}

// ["a.b"], with \" and \\ inside.
static const struct dr_node *step_quoted(const struct dr_node *node, struct dray_str *path) {
  char name[NAME_BYTES_MAX];
  size_t len = 0, at = 2;
  for (; at < path->len && path->data[at] != '"' && len + 1 < sizeof(name); at++) {
    if (path->data[at] == '\\' && at + 1 < path->len) at++;
    name[len++] = path->data[at];
  }
  if (at + 1 >= path->len || path->data[at] != '"' || path->data[at + 1] != ']') return NULL;
  name[len] = '\0';
  *path = dray_str_make(path->data + at + 2, path->len - at - 2);
  return dr_node_get(node, name);
}

static const struct dr_node *step_index(const struct dr_node *node, struct dray_str *path) {
  size_t index = 0, at = 1;
  for (; at < path->len && path->data[at] >= '0' && path->data[at] <= '9' && index < DR_CONFIG_NODES_MAX; at++)
    index = index * 10 + (size_t)(path->data[at] - '0');
  if (at == 1 || at >= path->len || path->data[at] != ']' || node->kind != DR_NODE_LIST) return NULL;
  *path = dray_str_make(path->data + at + 1, path->len - at - 1);
  const struct dr_node *item = node->child;
  while (item != NULL && index-- > 0) item = item->next;
  return item;
}

static const struct dr_node *find(const struct dr_node *node, struct dray_str path) {
  while (node != NULL && path.len > 0) {
    if (path.data[0] == '.') path = dray_str_make(path.data + 1, path.len - 1);
    if (path.len < 2 || path.data[0] != '[') {
      node = step_plain(node, &path);
    } else {
      node = path.data[1] == '"' ? step_quoted(node, &path) : step_index(node, &path);
    }
  }
  return node;
}

// ---- env and file ----

static int32_t too_long(struct dray_error *error, const char *field) {
  return dray_fail_field(error, DRAY_E_LIMIT, field, "the secret for `%s` is longer than %d bytes", field,
                         DR_SECRET_BYTES_MAX);
}

static int32_t from_env(const char *name, const char *field, struct dray_buffer *out, struct dray_error *error) {
  const char *value = getenv(name);
  if (value == NULL)
    return dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field,
                           "the environment variable %s, the secret for `%s`, is not set", name, field);
  if (strlen(value) > DR_SECRET_BYTES_MAX) return too_long(error, field);
  return dray_buffer_append_str(out, value, error);
}

static int32_t read_secret_file(int fd, const char *path, const char *field, struct dray_buffer *out,
                                struct dray_error *error) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    return dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field, "%s, the secret for `%s`, is not a regular file",
                           path, field);
  if ((info.st_mode & S_IROTH) != 0)
    dr_log(DRAY_LOG_WARN, "config", "every user of this machine can read the secret file %s; chmod o-r it", path);
  for (;;) {
    char *to = NULL;
    DRAY_TRY(dray_buffer_reserve(out, 4096, &to, error));
    const ssize_t n = read(fd, to, 4096);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field, "cannot read %s, the secret for `%s`: %s",
                             path, field, strerror(errno));
    if (n == 0) return DRAY_OK;
    out->len += (size_t)n;
    out->data[out->len] = '\0';
    if (out->len > DR_SECRET_BYTES_MAX + 2) return too_long(error, field);
  }
}

static int32_t from_file(const char *name, const char *folder, const char *field, struct dray_buffer *out,
                         struct dray_error *error) {
  char *path = name[0] == '/' ? dray_str_dup(dray_str_of(name)) : dr_path_join(folder, name);
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a secret's path");
  int32_t rc = DRAY_OK;
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field, "cannot open %s, the secret for `%s`: %s", path,
                         field, strerror(errno));
  } else {
    rc = read_secret_file(fd, path, field, out, error);
    (void)close(fd);
  }
  free(path);
  return rc;
}

// ---- exec ----

// Copies one word of a command from *from to *to, without its quotes. 0: a quote is open.
static int take_word(const char **from, char **to) {
  char quote = '\0';
  for (; **from != '\0' && (quote != '\0' || strchr(" \t\n", **from) == NULL); (*from)++) {
    if (quote == '\0' && (**from == '"' || **from == '\'')) {
      quote = **from;
    } else if (**from == quote) {
      quote = '\0';
    } else {
      if (**from == '\\' && quote != '\'' && (*from)[1] != '\0') (*from)++;
      *(*to)++ = **from;
    }
  }
  return quote == '\0';
}

// Splits a command on blanks, in place; '...' and "..." keep blanks, a backslash keeps the next character outside '...'.
// Returns the number of words, -1 when a quote is open or there are too many.
static int split_command(char *text, char **arguments) {
  int count = 0;
  const char *from = text;
  char *to = text;
  for (;;) {
    from += strspn(from, " \t\n");
    if (*from == '\0') break;
    if (count == EXEC_ARGUMENTS_MAX) return -1;
    arguments[count++] = to;
    if (!take_word(&from, &to)) return -1;
    if (*from != '\0') from++; // before the NUL may overwrite it
    *to++ = '\0';
  }
  arguments[count] = NULL;
  return count;
}

static int set_up_spawn(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, int output,
                        const char *folder) {
  sigset_t none, all;
  (void)sigemptyset(&none);
  (void)sigfillset(&all);
  return posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0) != 0 ||
         posix_spawn_file_actions_adddup2(actions, output, 1) != 0 ||
         posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0) != 0 ||
         posix_spawn_file_actions_addclosefrom_np(actions, 3) != 0 ||
         posix_spawn_file_actions_addchdir_np(actions, folder) != 0 || posix_spawnattr_setpgroup(attributes, 0) != 0 ||
         posix_spawnattr_setsigmask(attributes, &none) != 0 || posix_spawnattr_setsigdefault(attributes, &all) != 0 ||
         posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) !=
             0;
}

// Its own process group, so that what it starts can be ended with it; no terminal input, no inherited files. Its
// stderr is dropped: it could carry the secret into a log.
static int spawn(char *const *arguments, int output, const char *folder, pid_t *out_pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&actions) != 0) return ENOMEM;
  if (posix_spawnattr_init(&attributes) != 0) {
    (void)posix_spawn_file_actions_destroy(&actions);
    return ENOMEM;
  }
  int number = ENOMEM;
  if (!set_up_spawn(&actions, &attributes, output, folder))
    number = posix_spawnp(out_pid, arguments[0], &actions, &attributes, arguments, environ);
  (void)posix_spawn_file_actions_destroy(&actions);
  (void)posix_spawnattr_destroy(&attributes);
  return number;
}

static int32_t took_too_long(const char *field, struct dray_error *error) {
  return dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field,
                         "the command of the secret for `%s` did not end in %d s", field,
                         (int)(dr_secret_timeout_ms / 1000));
}

// Reads until the end, bounded in bytes and time.
static int32_t drain(int fd, const char *field, struct dray_buffer *out, struct dray_error *error) {
  const int64_t until = dr_monotonic_ms() + dr_secret_timeout_ms;
  for (;;) {
    char *to = NULL;
    DRAY_TRY(dr_cancel_check(error));
    if (dr_monotonic_ms() >= until) return took_too_long(field, error);
    struct pollfd ready = {fd, POLLIN, 0};
    const int polled = poll(&ready, 1, POLL_MS);
    if (polled == 0 || (polled < 0 && errno == EINTR)) continue;
    DRAY_TRY(dray_buffer_reserve(out, 4096, &to, error));
    const ssize_t n = read(fd, to, 4096);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return dr_fail_errno(error, "read", "the output of a secret's command");
    if (n == 0) return DRAY_OK;
    out->len += (size_t)n;
    out->data[out->len] = '\0';
    if (out->len > DR_SECRET_BYTES_MAX + 2) return too_long(error, field);
  }
}

// What became of a command that ended by itself.
static int32_t judge(int status, const char *field, struct dray_error *error) {
  if (WIFSIGNALED(status))
    return dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field,
                           "the command of the secret for `%s` was ended by signal %d", field, WTERMSIG(status));
  if (WEXITSTATUS(status) == 0) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field,
                         "the command of the secret for `%s` ended with exit code %d; run it by hand to see why", field,
                         WEXITSTATUS(status));
}

static void end_command(pid_t pid) {
  (void)kill(-pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

// Waits for the command, which has closed its output; ends it when it lingers or the run is to end.
static int32_t reap(pid_t pid, const char *field, struct dray_error *error) {
  int status = 0;
  const int64_t until = dr_monotonic_ms() + dr_secret_timeout_ms;
  for (;;) {
    const pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == pid) return judge(status, field, error);
    if (got < 0 && errno != EINTR) return dr_fail_errno(error, "wait for", "a secret's command");
    const int32_t cancelled = dr_cancel_check(error);
    if (cancelled != DRAY_OK || dr_monotonic_ms() >= until) {
      end_command(pid);
      return cancelled != DRAY_OK ? cancelled : took_too_long(field, error);
    }
    (void)poll(NULL, 0, 5);
  }
}

static int32_t run_command(char *const *arguments, const char *folder, const char *field, struct dray_buffer *out,
                           struct dray_error *error) {
  int ends[2];
  pid_t pid = 0;
  if (pipe2(ends, O_CLOEXEC) != 0) return dr_fail_errno(error, "make", "a pipe for a secret's command");
  const int number = spawn(arguments, ends[1], folder, &pid);
  (void)close(ends[1]);
  if (number != 0) {
    (void)close(ends[0]);
    return dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field,
                           "the command %s of the secret for `%s` cannot be run: %s", arguments[0], field,
                           strerror(number));
  }
  const int32_t drained = drain(ends[0], field, out, error);
  (void)close(ends[0]);
  if (drained == DRAY_OK) return reap(pid, field, error);
  end_command(pid);
  return drained;
}

static int32_t from_exec(const char *command, const char *folder, const char *field, struct dray_buffer *out,
                         struct dray_error *error) {
  char *arguments[EXEC_ARGUMENTS_MAX + 1] = {NULL};
  char *text = dray_str_dup(dray_str_of(command));
  if (text == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a secret's command");
  int32_t rc = DRAY_OK;
  if (split_command(text, arguments) < 1) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_VALUE, field,
                         "the command of the secret for `%s` has an open quote, no word, or more than %d words", field,
                         EXEC_ARGUMENTS_MAX);
  } else {
    rc = run_command(arguments, folder, field, out, error);
  }
  free(text);
  return rc;
}

// ---- the whole ----

static void strip_newline(struct dray_buffer *value) {
  if (value->len > 0 && value->data[value->len - 1] == '\n') value->len--;
  if (value->len > 0 && value->data[value->len - 1] == '\r') value->len--;
}

static int32_t fetch(const struct dr_node *node, const char *folder, const char *field, struct dray_buffer *out,
                     struct dray_error *error) {
  const char *text = node->text.data;
  if (node->literal) return dray_buffer_append(out, text, (size_t)node->text.len, error);
  if (strncmp(text, "env:", 4) == 0) return from_env(text + 4, field, out, error);
  const int is_file = strncmp(text, "file:", 5) == 0;
  DRAY_TRY(is_file ? from_file(text + 5, folder, field, out, error) : from_exec(text + 5, folder, field, out, error));
  strip_newline(out);
  return DRAY_OK;
}

int32_t dr_secret_resolve(const struct dr_node *settings, struct dray_str path, const char *project_folder,
                          struct dray_buffer *out, struct dray_error *error) {
  char field[128];
  struct dray_buffer value;
  const struct dr_node *node = path.len > 0 ? find(settings, path) : NULL;
  (void)snprintf(field, sizeof(field), "%.*s", DRAY_STR_ARG(path));
  if (node == NULL || node->kind == DR_NODE_NULL)
    return dray_fail_field(error, DRAY_E_CONFIG_MISSING, field, "the secret setting `%s` is not given", field);
  if (node->kind != DR_NODE_SECRET)
    return dray_fail_field(error, DRAY_E_CONFIG_SECRET_LITERAL, field, "the setting `%s` is not a secret reference",
                           field);
  dray_buffer_init(&value, DR_SECRET_BYTES_MAX + 8192);
  int32_t rc = fetch(node, project_folder, field, &value, error);
  if (rc == DRAY_OK && value.len > DR_SECRET_BYTES_MAX) rc = too_long(error, field);
  if (rc == DRAY_OK && value.len == 0)
    rc = dray_fail_field(error, DRAY_E_CONFIG_SECRET_MISSING, field, "the secret for `%s` is empty", field);
  if (rc == DRAY_OK) {
    dr_redact_add(dray_buffer_view(&value));
    rc = dray_buffer_append(out, value.data, value.len, error);
  }
  if (value.data != NULL) explicit_bzero(value.data, value.capacity);
  dray_buffer_free(&value);
  return rc;
}
