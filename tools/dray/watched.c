// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The watched child and the progress line.
#include "watched.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sync/run.h"
#include "sync/supervise.h"

#define REDRAW_MS 200
#define LINE_CHARS_MAX 110
#define STALL_TIMEOUT_MS 300000 // without a project, which may say otherwise

struct progress {
  struct dr_output *output;
  const char *sync;
  int64_t start_ms, drawn_ms;
  uint64_t rows; // read when last drawn
  int drawn;     // a line stands on the terminal
};

const char *dr_thousands(uint64_t number, char *out) {
  char digits[24];
  const int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
  size_t at = 0;
  for (int i = 0; i < n; i++) {
    if (i > 0 && (n - i) % 3 == 0) out[at++] = ',';
    out[at++] = digits[i];
  }
  out[at] = '\0';
  return out;
}

const char *dr_bytes_text(uint64_t bytes, char *out) {
  static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
  double value = (double)bytes;
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
    value /= 1000;
    unit++;
  }
  (void)snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return out;
}

const char *dr_duration_text(int64_t ms, char *out) {
  if (ms < 10000) {
    (void)snprintf(out, 32, "%.2f s", (double)ms / 1000);
  } else if (ms < 60000) {
    (void)snprintf(out, 32, "%.1f s", (double)ms / 1000);
  } else {
    (void)snprintf(out, 32, "%lld min %lld s", (long long)(ms / 60000), (long long)(ms / 1000 % 60));
  }
  return out;
}

// ---- the progress line ----

static int append(char *line, size_t capacity, int at, const char *format, ...) DRAY_PRINTF(4, 5);
static int append(char *line, size_t capacity, int at, const char *format, ...) {
  if (at < 0 || (size_t)at >= capacity) return at;
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(line + at, capacity - (size_t)at, format, args);
  va_end(args);
  return n < 0 ? at : at + n;
}

static void draw(struct progress *progress, const struct dr_board_view *view, int64_t now) {
  char line[LINE_CHARS_MAX + 1];
  char number[32];
  int at = append(line, sizeof(line), 0, "%s: %s", progress->sync, view->phase[0] != '\0' ? view->phase : "starting");
  if (view->rows_read > 0) {
    at = append(line, sizeof(line), at, ", %s rows", dr_thousands(view->rows_read, number));
    const double percent = view->rows_total > 0    ? 100.0 * (double)view->rows_read / (double)view->rows_total
                           : view->bytes_total > 0 ? 100.0 * (double)view->bytes_read / (double)view->bytes_total
                                                   : -1;
    if (percent >= 0) at = append(line, sizeof(line), at, " (%.0f %%)", percent > 100 ? 100 : percent);
    const int64_t elapsed = now - progress->start_ms;
    const uint64_t rate = elapsed > 0 ? view->rows_read * 1000 / (uint64_t)elapsed : 0;
    if (view->rows_read > progress->rows) at = append(line, sizeof(line), at, ", %s/s", dr_thousands(rate, number));
    progress->rows = view->rows_read;
  }
  if (view->changes > 0) at = append(line, sizeof(line), at, ", %s changes", dr_thousands(view->changes, number));
  if (view->applied > 0) at = append(line, sizeof(line), at, ", %s sent", dr_thousands(view->applied, number));
  if (view->rejected > 0) at = append(line, sizeof(line), at, ", %s rejected", dr_thousands(view->rejected, number));
  if (view->wait_until_ms > now) {
    at = append(line, sizeof(line), at, ", waiting %lld s: %s", (long long)((view->wait_until_ms - now) / 1000 + 1),
                view->wait);
  }
  for (char *p = line; *p != '\0'; p++) { // a vendor's text must not move the cursor
    if ((unsigned char)*p < 0x20 || (unsigned char)*p == 0x7F) *p = ' ';
  }
  (void)fprintf(progress->output->messages, "\r\033[K%s", line);
  (void)fflush(progress->output->messages);
  progress->drawn = 1;
  progress->drawn_ms = now;
}

static void on_progress(void *ctx, const struct dr_board_view *view, int leave) {
  struct progress *progress = ctx;
  if (leave) {
    if (progress->drawn) (void)fprintf(progress->output->messages, "\r\033[K");
    (void)fflush(progress->output->messages);
    progress->drawn = 0;
    return;
  }
  const int64_t now = dr_monotonic_ms();
  if (now - progress->drawn_ms >= REDRAW_MS && now - progress->start_ms >= REDRAW_MS) draw(progress, view, now);
}

// ---- the child ----

struct job {
  struct dr_watched watched;
  int32_t (*work)(struct dr_watched *watched);
};

int32_t dr_watched_error(struct dr_watched *watched, const struct dray_error *error) {
  struct dr_output *output = watched->call->output;
  const int config = error->error_class == DRAY_CLASS_CONFIG && watched->project->problems.count > 0;
  return config ? dr_print_problems(output, watched->project) : dr_print_error(output, error);
}

static int child(void *ctx) {
  struct job *job = ctx;
  struct dr_watched *watched = &job->watched;
  struct dray_error error;
  dray_error_init(&error);
  if (watched->project != NULL && dr_session_open(watched->project, &watched->session, &error) != DRAY_OK) {
    return dr_output_finish(watched->call->output, dr_print_error(watched->call->output, &error));
  }
  const int32_t code = job->work(watched);
  dr_session_close(watched->session);
  return dr_output_finish(watched->call->output, code);
}

int32_t dr_watched_run(struct dr_command_call *call, struct dr_project *project, const char *sync,
                       int32_t (*work)(struct dr_watched *watched), void *ctx) {
  struct job job = {{call, project, NULL, ctx}, work};
  struct progress progress = {.output = call->output, .sync = sync, .start_ms = dr_monotonic_ms()};
  const int shows = sync != NULL && call->output->terminal && !call->output->json && !call->output->quiet;
  const struct dr_supervise_options options = {
      .stall_timeout_ms = project != NULL ? project->stall_timeout_ms : STALL_TIMEOUT_MS,
      .sync = sync,
      .progress = shows ? on_progress : NULL,
      .ctx = &progress,
  };
  struct dr_supervise_result result;
  if (dr_supervise(child, &job, &options, &result, &call->error) != DRAY_OK) {
    return dr_print_error(call->output, &call->error);
  }
  if (result.error.code == DRAY_OK) return result.exit_code;
  if (project == NULL) {
    (void)dr_print_error(call->output, &result.error);
    return result.exit_code;
  }
  struct dray_error second;
  dray_error_init(&second);
  (void)dr_print_error(call->output, &result.error);
  if (dr_run_crashed(project->folder, result.pid, &result.error, &second) != DRAY_OK) {
    (void)dr_print_error(call->output, &second);
  }
  return result.exit_code;
}
