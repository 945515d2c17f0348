// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The program: signals, streams, and the table of commands. Nothing else is set up here, so that `dray --version` and
// completion answer at once; each command opens what it needs.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cancel.h"
#include "command.h"

static volatile sig_atomic_t ended_by; // the first signal

// The first signal asks for an orderly end; the second ends the process at once.
static void on_signal(int number) {
  if (ended_by != 0) {
    (void)signal(number, SIG_DFL);
    (void)raise(number);
    return;
  }
  ended_by = number;
  dr_cancel_request();
}

static void set_up_signals(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGINT, &action, NULL);
  (void)sigaction(SIGTERM, &action, NULL);
  (void)signal(SIGPIPE, SIG_IGN); // a reader that goes away is an error code, not a death in the middle of a run
}

// A stream that the caller closed: the next file that is opened must not take its place and be written as output. What
// stands there instead cannot be written (read), so that the loss is an error.
static void fill_closed_streams(void) {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
    if (fcntl(stream, F_GETFD) < 0) (void)open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int main(int argc, char **argv) {
  struct dr_output output;
  fill_closed_streams();
  dr_output_init(&output, stdout, stderr);
  set_up_signals();
  const int32_t code = dr_command_main(&dr_root, DRAY_VERSION, argc, (const char *const *)argv, &output);
  return code == DR_EXIT_INTERRUPTED && ended_by == SIGTERM ? DR_EXIT_TERMINATED : code;
}
