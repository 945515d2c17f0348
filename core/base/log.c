// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The log: one write(2) a line, secrets masked, control characters shown as escapes.
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/redact.h"

#define MESSAGE_BYTES_MAX 4096
#define LINE_BYTES_MAX (MESSAGE_BYTES_MAX * 6 + 256)

static struct dr_log_options settings = {DRAY_LOG_WARN, 0, 0};

static const char *const level_names[] = {"", "error", "warn", "info", "debug"};
static const char *const level_colours[] = {"", "\033[31m", "\033[33m", "", "\033[2m"};

void dr_log_setup(const struct dr_log_options *options) {
  settings = *options;
}

uint32_t dr_log_level(void) {
  return settings.level;
}

// Appends `text` so that it can neither break the line nor move the terminal's cursor.
static size_t append_escaped(char *out, size_t at, struct dray_str text, int json) {
  for (uint64_t i = 0; i < text.len && at + 8 < LINE_BYTES_MAX; i++) {
    const unsigned char c = (unsigned char)text.data[i];
    if (json && (c == '"' || c == '\\')) {
      out[at++] = '\\';
      out[at++] = (char)c;
    } else if (c < 0x20 || c == 0x7F) {
      at += (size_t)snprintf(out + at, 7, json ? "\\u%04x" : "\\x%02x", c);
    } else {
      out[at++] = (char)c;
    }
  }
  return at;
}

static size_t format_time(char *out, size_t out_bytes) {
  const int64_t now = dr_now_us();
  const time_t seconds = (time_t)(now / 1000000);
  struct tm parts;
  (void)gmtime_r(&seconds, &parts);
  const size_t n = strftime(out, out_bytes, "%Y-%m-%dT%H:%M:%S", &parts);
  return n + (size_t)snprintf(out + n, out_bytes - n, ".%03dZ", (int)(now / 1000 % 1000));
}

void dr_log_str(uint32_t level, const char *area, struct dray_str message) {
  if (level > settings.level || level < DRAY_LOG_ERROR || level > DRAY_LOG_DEBUG) return;
  char clean[MESSAGE_BYTES_MAX];
  size_t len = message.len < sizeof(clean) ? (size_t)message.len : sizeof(clean);
  if (len > 0) memcpy(clean, message.data, len);
  len = dr_redact(clean, len);
  const struct dray_str body = dray_str_make(clean, len);

  char line[LINE_BYTES_MAX + 64];
  size_t at;
  if (settings.json) {
    char when[40];
    (void)format_time(when, sizeof(when));
    at = (size_t)snprintf(line, sizeof(line), "{\"v\":1,\"type\":\"log\",\"time\":\"%s\",\"level\":\"%s\",\"area\":\"",
                          when, level_names[level]);
    at = append_escaped(line, at, dray_str_of(area), 1);
    at += (size_t)snprintf(line + at, sizeof(line) - at, "\",\"text\":\"");
    at = append_escaped(line, at, body, 1);
    at += (size_t)snprintf(line + at, sizeof(line) - at, "\"}\n");
  } else {
    const char *colour = settings.colour ? level_colours[level] : "";
    at = (size_t)snprintf(line, sizeof(line), "%s%s%s: [%s] ", colour, level_names[level],
                          colour[0] != '\0' ? "\033[0m" : "", area);
    at = append_escaped(line, at, body, 0);
    line[at++] = '\n';
  }
  const ssize_t written = write(STDERR_FILENO, line, at);
  (void)written; // nowhere to report a failure to
}

void dr_log(uint32_t level, const char *area, const char *format, ...) {
  if (level > settings.level) return;
  char message[MESSAGE_BYTES_MAX];
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(message, sizeof(message), format, args);
  va_end(args);
  if (n < 0) return;
  dr_log_str(level, area, dray_str_make(message, (size_t)n < sizeof(message) ? (size_t)n : sizeof(message) - 1));
}
