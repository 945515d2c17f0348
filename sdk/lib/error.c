// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Error reports: filled in place, never allocated, cut at a UTF-8 border when they are too long.
#include "dray/sdk/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dray/sdk/text.h"

#define LOWER_NAME_BYTES_MAX 48

static const struct {
  int32_t code;
  int32_t error_class;
  int32_t exit_code;
  const char *name;
  const char *what;
  const char *fix;
} rows[] = {
#define DRAY_ERROR(name, number, cls, exit_code, what, fix) {(number), DRAY_CLASS_##cls, (exit_code), #name, what, fix},
#include "dray/errors.def"
#undef DRAY_ERROR
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

// The public table with names in lower case, made once when the library is loaded, before any thread.
static struct dray_error_info table[ROW_COUNT];
static char names[ROW_COUNT][LOWER_NAME_BYTES_MAX];

__attribute__((constructor)) static void fill_table(void) {
  for (size_t i = 0; i < ROW_COUNT; i++) {
    size_t n = 0;
    for (; rows[i].name[n] != '\0' && n + 1 < LOWER_NAME_BYTES_MAX; n++) {
      const char c = rows[i].name[n];
      names[i][n] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    names[i][n] = '\0';
    table[i] = (struct dray_error_info){rows[i].code, rows[i].error_class, rows[i].exit_code,
                                        names[i],     rows[i].what,        rows[i].fix};
  }
}

const struct dray_error_info *dray_error_table(size_t *out_count) {
  *out_count = ROW_COUNT;
  return table;
}

const struct dray_error_info *dray_error_info(int32_t code) {
  for (size_t i = 0; i < ROW_COUNT; i++) {
    if (table[i].code == code) return &table[i];
  }
  return &table[ROW_COUNT - 1]; // INTERNAL is the last row
}

const struct dray_error_info *dray_error_info_by_name(struct dray_str name) {
  for (size_t i = 0; i < ROW_COUNT; i++) {
    if (dray_str_is(name, table[i].name)) return &table[i];
  }
  return NULL;
}

const char *dray_class_name(int32_t error_class) {
  static const char *const class_names[] = {"none", "config", "auth",  "transient", "throttled",
                                            "data", "schema", "state", "cancelled", "bug"};
  const size_t count = sizeof(class_names) / sizeof(class_names[0]);
  return error_class > 0 && (size_t)error_class < count ? class_names[error_class] : "none";
}

void dray_error_init(struct dray_error *error) {
  memset(error, 0, sizeof(*error));
  error->struct_size = (uint32_t)sizeof(*error);
}

// Drops a UTF-8 sequence that the end of the buffer cut in two.
static void trim_to_character(char *text, size_t len) {
  size_t start = len;
  while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
  if (start == 0) return;
  const unsigned char lead = (unsigned char)text[start - 1];
  const size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (len - (start - 1) < need) text[start - 1] = '\0';
}

static void set_text(struct dray_error *error, const char *format, va_list args) {
  const int n = vsnprintf(error->text, sizeof(error->text), format, args);
  if (n >= (int)sizeof(error->text)) trim_to_character(error->text, sizeof(error->text) - 1);
}

static int32_t fail(struct dray_error *error, int32_t code, const char *field, const char *format, va_list args) {
  if (error == NULL) return code;
  dray_error_init(error);
  error->code = code;
  error->error_class = dray_error_info(code)->error_class;
  if (field != NULL) (void)snprintf(error->field, sizeof(error->field), "%s", field);
  set_text(error, format, args);
  return code;
}

int32_t dray_fail(struct dray_error *error, int32_t code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)fail(error, code, NULL, format, args);
  va_end(args);
  return code;
}

int32_t dray_fail_field(struct dray_error *error, int32_t code, const char *field, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)fail(error, code, field, format, args);
  va_end(args);
  return code;
}

int32_t dray_error_prefix(struct dray_error *error, const char *format, ...) {
  if (error == NULL) return DRAY_E_INTERNAL;
  char before[DRAY_ERROR_TEXT_MAX];
  memcpy(before, error->text, sizeof(before));
  va_list args;
  va_start(args, format);
  set_text(error, format, args);
  va_end(args);
  const size_t used = strlen(error->text);
  const int n = snprintf(error->text + used, sizeof(error->text) - used, ": %s", before);
  if (n >= (int)(sizeof(error->text) - used)) trim_to_character(error->text, sizeof(error->text) - 1);
  return error->code;
}
