// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writing what commands say. A line is made whole in memory, masked, and written at once.
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/redact.h"
#include "command.h"
#include "config/project.h"

#define TEXT_BYTES_MAX (256u * 1024 * 1024)

void dr_output_init(struct dr_output *output, FILE *data, FILE *messages) {
  const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
  const int plain = (no_colour != NULL && no_colour[0] != '\0') || (term != NULL && strcmp(term, "dumb") == 0);
  memset(output, 0, sizeof(*output));
  output->data = data;
  output->messages = messages;
  output->terminal = isatty(fileno(messages)) == 1;
  output->colour_messages = output->terminal && !plain;
  output->colour_data = isatty(fileno(data)) == 1 && !plain;
}

void dr_output_no_colour(struct dr_output *output) {
  output->colour_data = output->colour_messages = 0;
}

int32_t dr_output_finish(struct dr_output *output, int32_t exit_code) {
  if (fflush(output->data) != 0 && output->failed == 0) output->failed = errno;
  (void)fflush(output->messages);
  if (output->failed == 0 || output->failed == EPIPE) return exit_code; // who closes the pipe has seen enough
  (void)fprintf(output->messages, "error[io]: the output could not be written: %s\n", strerror(output->failed));
  const int was_well = exit_code == DR_EXIT_DONE || exit_code == DR_EXIT_CHANGES || exit_code == DR_EXIT_PARTIAL;
  return was_well ? DR_EXIT_FAILED : exit_code;
}

static void emit(struct dr_output *output, FILE *to, struct dray_buffer *text) {
  if (text->len == 0) return;
  const size_t len = dr_redact(text->data, text->len);
  if (fwrite(text->data, 1, len, to) != len && to == output->data && output->failed == 0) output->failed = errno;
}

static void emit_format(struct dr_output *output, FILE *to, const char *format, va_list args) DRAY_PRINTF(3, 0);
static void emit_format(struct dr_output *output, FILE *to, const char *format, va_list args) {
  struct dray_buffer text;
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  if (dray_buffer_vprintf(&text, NULL, format, args) == DRAY_OK) {
    emit(output, to, &text);
  } else if (output->failed == 0) {
    output->failed = ENOMEM;
  }
  dray_buffer_free(&text);
}

void dr_print(struct dr_output *output, const char *format, ...) {
  va_list args;
  va_start(args, format);
  emit_format(output, output->data, format, args);
  va_end(args);
}

void dr_print_str(struct dr_output *output, struct dray_str text) {
  struct dray_buffer copy;
  dray_buffer_init(&copy, TEXT_BYTES_MAX);
  if (dray_buffer_append(&copy, text.data, (size_t)text.len, NULL) == DRAY_OK) {
    emit(output, output->data, &copy);
  } else if (output->failed == 0) {
    output->failed = ENOMEM;
  }
  dray_buffer_free(&copy);
}

void dr_print_buffer(struct dr_output *output, struct dray_buffer *text) {
  emit(output, output->data, text);
}

static void emit_record(struct dr_record *record, FILE *to) {
  dray_json_end_object(&record->json);
  if (dray_json_writer_finish(&record->json) == DRAY_OK &&
      dray_buffer_append_char(&record->text, '\n', NULL) == DRAY_OK) {
    emit(record->output, to, &record->text);
  } else if (record->output->failed == 0) {
    record->output->failed = ENOMEM;
  }
  dray_buffer_free(&record->text);
}

void dr_note(struct dr_output *output, const char *format, ...) {
  va_list args;
  if (output->quiet) return;
  va_start(args, format);
  if (output->json) {
    char text[2048];
    struct dr_record record;
    (void)vsnprintf(text, sizeof(text), format, args);
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n') text[--len] = '\0';
    dr_record_begin(&record, output, "note");
    dr_record_text(&record, "text", text);
    emit_record(&record, output->messages);
  } else {
    emit_format(output, output->messages, format, args);
  }
  va_end(args);
}

static void print_error_json(struct dr_output *output, const struct dray_error *error, const char *nearest,
                             const char *fix) {
  const struct dray_error_info *info = dray_error_info(error->code);
  struct dr_record record;
  dr_record_begin(&record, output, "error");
  dr_record_int(&record, "code", error->code);
  dr_record_text(&record, "name", info->name);
  dr_record_text(&record, "class", dray_class_name(error->error_class != 0 ? error->error_class : info->error_class));
  dr_record_text(&record, "text", error->text);
  if (error->field[0] != '\0') dr_record_text(&record, "field", error->field);
  if (error->http_status != 0) dr_record_int(&record, "http_status", error->http_status);
  if (error->vendor_code[0] != '\0') dr_record_text(&record, "vendor_code", error->vendor_code);
  if (error->retry_after_ms != 0) dr_record_int(&record, "retry_after_ms", error->retry_after_ms);
  if (nearest != NULL) dr_record_text(&record, "nearest", nearest);
  dr_record_text(&record, "fix", fix);
  dr_record_int(&record, "exit_code", info->exit_code);
  dr_record_end(&record);
}

static void message(struct dr_output *output, const char *format, ...) DRAY_PRINTF(2, 3);
static void message(struct dr_output *output, const char *format, ...) {
  va_list args;
  va_start(args, format);
  emit_format(output, output->messages, format, args);
  va_end(args);
}

int32_t dr_print_error_hint(struct dr_output *output, const struct dray_error *error, const char *nearest,
                            const char *fix) {
  const struct dray_error_info *info = dray_error_info(error->code);
  const char *red = output->colour_messages ? "\033[1;31m" : "", *reset = output->colour_messages ? "\033[0m" : "";
  if (fix == NULL) fix = info->fix;
  if (output->json) {
    print_error_json(output, error, nearest, fix);
    return info->exit_code;
  }
  (void)fflush(output->data); // what was said before stands before
  message(output, "%serror%s[%s]: %s\n", red, reset, info->name, error->text[0] != '\0' ? error->text : info->what);
  if (nearest != NULL) message(output, "  did you mean \"%s\"?\n", nearest);
  message(output, "  fix: %s\n", fix);
  return info->exit_code;
}

int32_t dr_print_error(struct dr_output *output, const struct dray_error *error) {
  return dr_print_error_hint(output, error, NULL, NULL);
}

int32_t dr_print_problems(struct dr_output *output, const struct dr_project *project) {
  struct dray_buffer text;
  struct dray_error error;
  if (project->problems.count == 0) return 0;
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  dray_error_init(&error);
  const int32_t rc = dr_problems_print(project, output->json, output->colour_messages, &text, &error);
  if (rc == DRAY_OK) emit(output, output->json ? output->data : output->messages, &text);
  dray_buffer_free(&text);
  return rc == DRAY_OK ? dray_error_info(project->problems.items[0].code)->exit_code : dr_print_error(output, &error);
}

const char *dr_style(const struct dr_output *output, int style) {
  static const char *const escapes[] = {"\033[0m",  "\033[1m",  "\033[2m", "\033[31m",
                                        "\033[32m", "\033[33m", "\033[36m"};
  return output->colour_data && !output->json ? escapes[style] : "";
}

void dr_record_begin(struct dr_record *record, struct dr_output *output, const char *type) {
  record->output = output;
  dray_buffer_init(&record->text, TEXT_BYTES_MAX);
  dray_error_init(&record->error);
  dray_json_writer_init(&record->json, &record->text, &record->error);
  dray_json_begin_object(&record->json);
  dray_json_key(&record->json, "v");
  dray_json_write_int(&record->json, 1);
  dr_record_text(record, "type", type);
}

void dr_record_text(struct dr_record *record, const char *name, const char *value) {
  dray_json_key(&record->json, name);
  if (value == NULL) {
    dray_json_write_null(&record->json);
  } else {
    dray_json_write_text(&record->json, value);
  }
}

void dr_record_int(struct dr_record *record, const char *name, int64_t value) {
  dray_json_key(&record->json, name);
  dray_json_write_int(&record->json, value);
}

void dr_record_count(struct dr_record *record, const char *name, uint64_t value) {
  char digits[32];
  const int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
  dr_record_raw(record, name, dray_str_make(digits, len > 0 ? (uint64_t)len : 0));
}

void dr_record_bool(struct dr_record *record, const char *name, int value) {
  dray_json_key(&record->json, name);
  dray_json_write_bool(&record->json, value);
}

void dr_record_raw(struct dr_record *record, const char *name, struct dray_str json) {
  dray_json_key(&record->json, name);
  dray_json_write_raw(&record->json, json);
}

void dr_record_end(struct dr_record *record) {
  emit_record(record, record->output->data);
}
