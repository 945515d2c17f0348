// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Fork, watch, reap.
#include "sync/supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"

#define TICK_MS 100
#define TICK_BLIND_MS 5 // where the kernel has no pidfd
#define GRACE_MS 10000
#define PIPE_READ_BYTES 16384

static volatile sig_atomic_t signals_seen;
static volatile sig_atomic_t last_signal;

static void on_parent_signal(int number) {
  last_signal = number;
  signals_seen = signals_seen + 1;
}

static void on_child_signal(int number) {
  (void)number;
  dr_cancel_request();
}

static void handle(int number, void (*handler)(int), struct sigaction *before) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(number, &action, before);
}

// ---- the child ----

static void run_child(int (*work)(void *ctx), void *ctx, struct dr_board *board, const char *sync, pid_t parent,
                      const int out[2], const int err[2]) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL); // a run does not outlive the one who watches it
  if (getppid() != parent) _exit(1);
  handle(SIGINT, on_child_signal, NULL);
  handle(SIGTERM, on_child_signal, NULL);
  handle(SIGPIPE, SIG_IGN, NULL);
  if (out[1] >= 0) {
    (void)dup2(out[1], STDOUT_FILENO);
    (void)dup2(err[1], STDERR_FILENO);
    for (int i = 0; i < 2; i++) {
      (void)close(out[i]);
      (void)close(err[i]);
    }
  }
  if (sync != NULL) (void)snprintf(board->sync, sizeof(board->sync), "%s", sync);
  dr_board_set(board);
  const int code = work(ctx);
  (void)fflush(stdout);
  (void)fflush(stderr);
  atomic_store(&board->finished, 1);
  exit(code); // not _exit: sanitizers and coverage report here
}

// ---- the parent ----

struct watch {
  const struct dr_supervise_options *options;
  struct dr_board *board;
  pid_t pid;
  int out, err;      // read ends; -1: none
  int exited;        // pidfd: readable when the child has ended; -1: none
  uint64_t beat;     // last seen
  int64_t beat_ms;   // when it was last seen to change
  int64_t cancel_ms; // when the child was asked to end; 0: not yet
  int signals_passed;
  int hung, killed;
  struct dr_board_view view;
};

static void forward(struct watch *watch, int *fd, int to) {
  char data[PIPE_READ_BYTES];
  const ssize_t n = read(*fd, data, sizeof(data));
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) {
    (void)close(*fd);
    *fd = -1;
    return;
  }
  if (watch->options->progress != NULL) watch->options->progress(watch->options->ctx, &watch->view, 1);
  struct dray_error ignored;
  const int32_t rc = dr_fd_write(to, data, (size_t)n, "output", &ignored);
  (void)rc; // a closed terminal does not stop a run
}

static void wait_tick(struct watch *watch) {
  struct pollfd fds[3] = {{watch->out, POLLIN, 0}, {watch->err, POLLIN, 0}, {watch->exited, POLLIN, 0}};
  if (poll(fds, 3, watch->exited >= 0 ? TICK_MS : TICK_BLIND_MS) <= 0) return;
  if (watch->out >= 0 && fds[0].revents != 0) forward(watch, &watch->out, STDOUT_FILENO);
  if (watch->err >= 0 && fds[1].revents != 0) forward(watch, &watch->err, STDERR_FILENO);
}

static void drain(struct watch *watch) {
  while (watch->out >= 0) forward(watch, &watch->out, STDOUT_FILENO);
  while (watch->err >= 0) forward(watch, &watch->err, STDERR_FILENO);
}

static void pass_signals(struct watch *watch, int64_t now) {
  if (signals_seen > watch->signals_passed) {
    if (watch->signals_passed > 0) watch->killed = 1; // asked twice
    watch->signals_passed = signals_seen;
    if (watch->cancel_ms == 0) watch->cancel_ms = now;
    (void)kill(watch->pid, watch->killed ? SIGKILL : SIGTERM);
  }
  const int64_t grace_ms = watch->options->grace_ms > 0 ? watch->options->grace_ms : GRACE_MS;
  const int64_t hold_ms = watch->view.hold_until_ms; // what it waits for until then is still to be stored
  const int64_t since_ms = hold_ms > watch->cancel_ms ? hold_ms : watch->cancel_ms;
  if (watch->cancel_ms != 0 && now - since_ms > grace_ms) {
    watch->killed = 1;
    (void)kill(watch->pid, SIGKILL);
  }
}

static void check_stall(struct watch *watch, int64_t now) {
  const struct dr_board_view *view = &watch->view;
  if (view->beat != watch->beat) {
    watch->beat = view->beat;
    watch->beat_ms = now;
  }
  if (watch->options->stall_timeout_ms <= 0 || view->call_since_ms == 0 || now < view->wait_until_ms) return;
  const int64_t since = view->call_since_ms > watch->beat_ms ? view->call_since_ms : watch->beat_ms;
  if (now - since < watch->options->stall_timeout_ms) return;
  watch->hung = 1;
  (void)kill(watch->pid, SIGKILL);
}

static int watch_child(struct watch *watch) {
  int status = 0;
  for (;;) {
    const pid_t done = waitpid(watch->pid, &status, WNOHANG);
    if (done == watch->pid || (done < 0 && errno != EINTR)) break;
    wait_tick(watch);
    const int64_t now = dr_monotonic_ms();
    dr_board_read(watch->board, &watch->view);
    pass_signals(watch, now);
    if (!watch->hung) check_stall(watch, now);
    if (watch->options->progress != NULL) watch->options->progress(watch->options->ctx, &watch->view, 0);
  }
  dr_board_read(watch->board, &watch->view);
  drain(watch);
  if (watch->options->progress != NULL) watch->options->progress(watch->options->ctx, &watch->view, 1);
  return status;
}

static void conclude(const struct watch *watch, int status, struct dr_supervise_result *out) {
  const char *call = watch->view.call[0] != '\0' ? watch->view.call : "dray itself";
  dray_error_init(&out->error);
  out->pid = (int32_t)watch->pid;
  if (watch->hung) {
    (void)dray_fail(&out->error, DRAY_E_PLUGIN_HUNG, "%s made no progress for %lld s and was stopped", call,
                    (long long)(watch->options->stall_timeout_ms / 1000));
  } else if (watch->killed) {
    (void)dray_fail(&out->error, DRAY_E_CANCELLED, "the run did not end by itself and was stopped");
  } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) { // no fault of a program's raises it
    (void)dray_fail(&out->error, DRAY_E_KILLED, "the run was killed from outside (SIGKILL) in %s", call);
  } else if (WIFSIGNALED(status)) {
    (void)dray_fail(&out->error, DRAY_E_PLUGIN_CRASHED, "%s crashed: %s", call, strsignal(WTERMSIG(status)));
  } else if (!atomic_load(&watch->board->finished)) {
    (void)dray_fail(&out->error, DRAY_E_PLUGIN_CRASHED, "%s ended the process with exit code %d", call,
                    WEXITSTATUS(status));
  } else {
    out->exit_code = WEXITSTATUS(status);
    if (out->exit_code == 130 && last_signal == SIGTERM) out->exit_code = 143;
    return;
  }
  out->exit_code = dray_error_info(out->error.code)->exit_code;
  if (watch->killed && last_signal == SIGTERM) out->exit_code = 143;
}

static void close_pipe(int pair[2]) {
  for (int i = 0; i < 2; i++) {
    if (pair[i] >= 0) (void)close(pair[i]);
    pair[i] = -1;
  }
}

int32_t dr_supervise(int (*work)(void *ctx), void *ctx, const struct dr_supervise_options *options,
                     struct dr_supervise_result *out, struct dray_error *error) {
  int out_pipe[2] = {-1, -1}, err_pipe[2] = {-1, -1};
  struct sigaction old_int, old_term;
  struct dr_board *board = dr_board_new();
  if (board == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a run's board");
  if (options->progress != NULL && (pipe(out_pipe) != 0 || pipe(err_pipe) != 0)) {
    const int32_t rc = dr_fail_errno(error, "make", "a pipe");
    close_pipe(out_pipe);
    dr_board_free(board);
    return rc;
  }
  signals_seen = 0;
  last_signal = 0;
  handle(SIGINT, on_parent_signal, &old_int);
  handle(SIGTERM, on_parent_signal, &old_term);
  (void)fflush(stdout);
  (void)fflush(stderr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) run_child(work, ctx, board, options->sync, parent, out_pipe, err_pipe);
  int32_t rc = DRAY_OK;
  if (pid < 0) {
    rc = dr_fail_errno(error, "start", "a child process");
    close_pipe(out_pipe);
    close_pipe(err_pipe);
  } else {
    if (out_pipe[1] >= 0) (void)close(out_pipe[1]);
    if (err_pipe[1] >= 0) (void)close(err_pipe[1]);
    struct watch watch = {.options = options,
                          .board = board,
                          .pid = pid,
                          .out = out_pipe[0],
                          .err = err_pipe[0],
                          .exited = pidfd_open(pid, 0),
                          .beat_ms = dr_monotonic_ms()};
    const int status = watch_child(&watch);
    if (watch.exited >= 0) (void)close(watch.exited);
    memset(out, 0, sizeof(*out));
    conclude(&watch, status, out);
  }
  (void)sigaction(SIGINT, &old_int, NULL);
  (void)sigaction(SIGTERM, &old_term, NULL);
  dr_board_free(board);
  return rc;
}
