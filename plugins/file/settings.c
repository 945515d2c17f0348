// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Binds the settings and derives what the readers and writers work with. Knows no file and no role.
#include "settings.h"

#include <stddef.h>
#include <stdlib.h>

#define LIST_BYTES_MAX (1u << 20)

static const char *const formats[] = {"auto", "csv", "jsonl", NULL};
static const char *const error_policies[] = {"reject", "fail", NULL};
static const char *const stream_policies[] = {"auto", "one", "per_file", NULL};
static const char *const verify_policies[] = {"content", "start", NULL};

#define MEMBER(name) offsetof(struct file_settings, name)
static const struct dray_setting table[] = {
    {.name = "path",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = MEMBER(path),
     .description = "a file, a folder, or a pattern such as data/orders-*.csv; to write: the folder of the files"},
    {.name = "format",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(format),
     .default_json = "\"auto\"",
     .choices = formats,
     .description = "auto goes by the name: .jsonl and .ndjson are JSON Lines, all else is CSV"},
    {.name = "delimiter",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(delimiter),
     .description = "CSV: one character, or tab; by default a tab in .tsv files and a comma elsewhere"},
    {.name = "quote",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(quote),
     .default_json = "\"\\\"\"",
     .description = "CSV: the quote character"},
    {.name = "header",
     .kind = DRAY_SETTING_BOOL,
     .offset = MEMBER(header),
     .default_json = "true",
     .description = "CSV: whether the first record holds the column names"},
    {.name = "columns",
     .kind = DRAY_SETTING_JSON,
     .offset = MEMBER(columns_json),
     .schema_json = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":1}}",
     .description = "CSV: column names, for files without a header or instead of it"},
    {.name = "types",
     .kind = DRAY_SETTING_JSON,
     .offset = MEMBER(types_json),
     .schema_json = "{\"type\":\"object\"}",
     .description = "types of columns, e.g. {amount: decimal(12,2)}; others are inferred"},
    {.name = "infer",
     .kind = DRAY_SETTING_BOOL,
     .offset = MEMBER(infer),
     .default_json = "true",
     .description =
         "infer undeclared types from a sample; false: they are strings (JSON Lines: json for nested values)"},
    {.name = "null_values",
     .kind = DRAY_SETTING_JSON,
     .offset = MEMBER(null_values_json),
     .default_json = "[\"\"]",
     .schema_json = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
     .description = "CSV: unquoted fields that mean null"},
    {.name = "on_error",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(on_error),
     .default_json = "\"reject\"",
     .choices = error_policies,
     .description = "reject: a bad record is left out and reported; fail: it ends the run"},
    {.name = "streams",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(streams),
     .default_json = "\"auto\"",
     .choices = stream_policies,
     .description = "one stream of all files, or one per file; auto: per file for a folder"},
    {.name = "stream",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(stream),
     .description = "the stream's name where there is one; by default from the file's name"},
    {.name = "verify",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(verify),
     .default_json = "\"content\"",
     .choices = verify_policies,
     .description = "how a changed file is known to have only grown: by all that was read, or by its first 64 KiB"},
    {.name = "file_column",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(file_column),
     .description = "CSV: adds a column of this name with the file's path"},
    {.name = "line_column",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(line_column),
     .description = "CSV: adds a column of this name with the record's line number"},
    {.name = "max_field_bytes",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(max_field_bytes),
     .default_json = "1048576",
     .minimum = 16,
     .maximum = 16777216,
     .description = "CSV: larger fields make their record a bad one"},
    {.name = "sample_records",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(sample_records),
     .default_json = "10000",
     .minimum = 1,
     .maximum = 10000000,
     .description = "how many records types are inferred from (and at most 4 MiB)"},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

int32_t file_settings_spec(struct dray_str *out_json, struct dray_error *error) {
  static struct dray_kept_spec kept = DRAY_KEPT_SPEC;
  return dray_config_kept_spec(&kept, table, TABLE_COUNT, out_json, error);
}

// ---- lists ----

static int32_t bind_list(const char *json, const char *setting, size_t count_max, char ***out, size_t *out_count,
                         struct dray_error *error) {
  struct dray_json *root = NULL;
  DRAY_TRY(dray_json_parse(dray_str_of(json), LIST_BYTES_MAX, &root, error));
  int32_t rc = DRAY_OK;
  char **items = NULL;
  if (root->kind != DRAY_JSON_ARRAY || root->child_count > count_max) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_TYPE, setting, "%s must be a list of at most %zu texts", setting,
                         count_max);
    goto done;
  }
  items = calloc(root->child_count + 1, sizeof(*items));
  if (items == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the setting %s", setting);
    goto done;
  }
  *out = items; // owned by the settings from here on, so that a failure below frees what is there
  for (const struct dray_json *item = root->child; item != NULL && rc == DRAY_OK; item = item->next) {
    if (item->kind != DRAY_JSON_STRING) {
      rc = dray_fail_field(error, DRAY_E_CONFIG_TYPE, setting, "%s must hold texts only", setting);
    } else if ((items[*out_count] = dray_str_dup(item->text)) == NULL) {
      rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the setting %s", setting);
    } else {
      (*out_count)++;
    }
  }
done:
  dray_json_free(root);
  return rc;
}

static int32_t bind_type(const struct dray_json *member, struct file_settings *settings, struct dray_error *error) {
  struct file_declared *declared = &settings->types[settings->type_count];
  if (member->kind != DRAY_JSON_STRING) {
    return dray_fail_field(error, DRAY_E_CONFIG_TYPE, "types",
                           "types: the type of %s must be a text such as decimal(12,2)", member->name.data);
  }
  if (dray_type_parse(member->text, &declared->type, error) != DRAY_OK) {
    return dray_fail_field(
        error, DRAY_E_CONFIG_VALUE, "types",
        "types: %s is not a type (column %s): use bool, int64, float64, decimal(P,S), string, bytes, "
        "date, timestamp or json",
        member->text.data, member->name.data);
  }
  declared->name = dray_str_dup(member->name);
  if (declared->name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the setting types");
  settings->type_count++;
  return DRAY_OK;
}

static int32_t bind_types(struct file_settings *settings, struct dray_error *error) {
  struct dray_json *root = NULL;
  DRAY_TRY(dray_json_parse(dray_str_of(settings->types_json), LIST_BYTES_MAX, &root, error));
  int32_t rc = DRAY_OK;
  if (root->kind != DRAY_JSON_OBJECT || root->child_count > FILE_COLUMNS_MAX) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_TYPE, "types", "types must map at most %d column names to types",
                         FILE_COLUMNS_MAX);
    goto done;
  }
  settings->types = calloc(root->child_count + 1, sizeof(*settings->types));
  if (settings->types == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the setting types");
    goto done;
  }
  for (const struct dray_json *member = root->child; member != NULL && rc == DRAY_OK; member = member->next) {
    rc = bind_type(member, settings, error);
  }
done:
  dray_json_free(root);
  return rc;
}

// ---- characters and policies ----

static int32_t one_character(const char *text, const char *setting, char *out, struct dray_error *error) {
  if (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0) {
    *out = '\t';
    return DRAY_OK;
  }
  if (strlen(text) != 1 || (unsigned char)text[0] >= 0x80 || text[0] == '\n' || text[0] == '\r') {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting, "%s is '%s'; it must be one ASCII character, or tab",
                           setting, text);
  }
  *out = text[0];
  return DRAY_OK;
}

static int32_t check_added_column(const char *name, const char *setting, struct dray_error *error) {
  if (name == NULL) return DRAY_OK;
  const size_t len = strlen(name);
  if (len == 0 || len > DRAY_COLUMN_NAME_MAX || dray_column_reserved(name)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting, "%s is '%.300s', which cannot be the name of a column",
                           setting, name);
  }
  return DRAY_OK;
}

static int32_t derive(struct file_settings *settings, struct dray_error *error) {
  if (settings->path[0] == '\0' || strlen(settings->path) >= FILE_PATH_MAX) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path", "path must be 1 to %d bytes long", FILE_PATH_MAX - 1);
  }
  DRAY_TRY(one_character(settings->quote, "quote", &settings->quote_char, error));
  if (settings->delimiter != NULL) {
    DRAY_TRY(one_character(settings->delimiter, "delimiter", &settings->delimiter_char, error));
  }
  if (settings->delimiter_char == settings->quote_char) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "delimiter", "delimiter and quote are the same character");
  }
  if (settings->stream != NULL && settings->stream[0] == '\0') {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "stream", "stream must not be empty");
  }
  DRAY_TRY(check_added_column(settings->file_column, "file_column", error));
  DRAY_TRY(check_added_column(settings->line_column, "line_column", error));
  if (settings->columns_json != NULL) {
    DRAY_TRY(bind_list(settings->columns_json, "columns", FILE_COLUMNS_MAX, &settings->columns, &settings->column_count,
                       error));
  }
  DRAY_TRY(bind_list(settings->null_values_json, "null_values", 1000, &settings->nulls, &settings->null_count, error));
  for (size_t i = 0; i < settings->null_count; i++) {
    const uint64_t len = strlen(settings->nulls[i]);
    if (len > settings->null_bytes_max) settings->null_bytes_max = len;
  }
  if (settings->types_json != NULL) DRAY_TRY(bind_types(settings, error));
  settings->fail_on_error = strcmp(settings->on_error, "fail") == 0;
  settings->verify_start = strcmp(settings->verify, "start") == 0;
  return DRAY_OK;
}

int32_t file_settings_bind(struct dray_str json, struct file_settings *out, struct dray_error *error) {
  struct file_settings settings = {0};
  DRAY_TRY(dray_config_bind(table, TABLE_COUNT, json, &settings, error));
  const int32_t rc = derive(&settings, error);
  if (rc != DRAY_OK) {
    file_settings_free(&settings);
    return rc;
  }
  *out = settings;
  return DRAY_OK;
}

static void free_list(char **items, size_t count) {
  for (size_t i = 0; i < count; i++) free(items[i]);
  free(items);
}

void file_settings_free(struct file_settings *settings) {
  dray_config_release(table, TABLE_COUNT, settings);
  free_list(settings->columns, settings->column_count);
  free_list(settings->nulls, settings->null_count);
  for (size_t i = 0; i < settings->type_count; i++) free(settings->types[i].name);
  free(settings->types);
  memset(settings, 0, sizeof(*settings));
}

const struct dray_type *file_settings_type(const struct file_settings *settings, const char *column) {
  for (size_t i = 0; i < settings->type_count; i++) {
    if (strcmp(settings->types[i].name, column) == 0) return &settings->types[i].type;
  }
  return NULL;
}

int file_settings_is_null(const struct file_settings *settings, struct dray_str text) {
  if (text.len > settings->null_bytes_max) return 0; // nearly all fields of all rows
  for (size_t i = 0; i < settings->null_count; i++) {
    if (dray_str_is(text, settings->nulls[i])) return 1;
  }
  return 0;
}
