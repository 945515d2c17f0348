// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Makes the layout. The sample is taken from the files in their order until it is full; a file that brings a new column
// adds some records of its own, so that no column is typed without having been seen. Discover and open both come here:
// they cannot disagree.
#include "layout.h"

#include <stdio.h>
#include <stdlib.h>

#include "records.h"

#define LATE_RECORDS_MAX 1000u
#define LATE_BYTES_MAX (256u << 10)
#define LINE_BYTES_MAX (16u << 20)

// What may still be looked at.
struct budget {
  uint64_t records;
  uint64_t bytes;
};

void file_layout_free(struct file_layout *layout) {
  for (size_t i = 0; i < layout->count; i++) free(layout->columns[i].name);
  free(layout->columns);
  memset(layout, 0, sizeof(*layout));
}

size_t file_layout_find(const struct file_layout *layout, struct dray_str name) {
  for (size_t i = 0; i < layout->count; i++) {
    if (layout->columns[i].kind == FILE_COLUMN_DATA && dray_str_is(name, layout->columns[i].name)) return i;
  }
  return layout->count;
}

static int32_t add_column(struct file_layout *layout, struct dray_str name, int kind, struct dray_error *error) {
  if (layout->count == FILE_COLUMNS_MAX)
    return dray_fail(error, DRAY_E_LIMIT, "more than %d columns", FILE_COLUMNS_MAX);
  if (layout->count == layout->capacity) {
    const size_t capacity = layout->capacity == 0 ? 16 : layout->capacity * 2;
    struct file_column *grown = realloc(layout->columns, capacity * sizeof(*grown));
    if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns");
    layout->columns = grown;
    layout->capacity = capacity;
  }
  const struct file_column column = {.name = dray_str_dup(name), .kind = kind};
  if (column.name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns");
  layout->columns[layout->count++] = column;
  return DRAY_OK;
}

// ---- CSV ----

// Adds a file's columns; `map` receives the column of each field. *out_new: how many were not known before.
static int32_t add_names(struct file_layout *layout, const struct file_names *names, size_t *map, size_t *out_new,
                         struct dray_error *error) {
  const size_t before = layout->count;
  for (size_t i = 0; i < names->count; i++) {
    // Files mostly have the same header: look at the same place first.
    const struct dray_str name = dray_str_of(names->items[i]);
    map[i] = i < layout->count && dray_str_is(name, layout->columns[i].name) ? i : file_layout_find(layout, name);
    if (map[i] == layout->count) DRAY_TRY(add_column(layout, name, FILE_COLUMN_DATA, error));
  }
  *out_new = layout->count - before;
  return DRAY_OK;
}

static int32_t sample_csv(const struct file_settings *settings, const char *path, const size_t *map, size_t map_count,
                          struct budget *budget, struct file_layout *layout, struct dray_error *error) {
  struct file_mark start;
  struct file_records records = {0};
  struct dray_csv_record record;
  int got = 0, at_header = settings->header;
  file_mark_start(&start);
  DRAY_TRY(file_records_open(settings, path, &start, &records, error));
  int32_t rc = DRAY_OK;
  while (budget->records > 0 && file_bytes_position(records.bytes) < budget->bytes) {
    rc = file_records_next(&records, &record, &got, error);
    if (rc != DRAY_OK || !got) break;
    if (at_header) {
      at_header = 0;
      continue;
    }
    budget->records--;
    if (record.code != 0 || record.field_count != map_count) continue; // a bad record teaches nothing
    for (size_t i = 0; i < map_count; i++) {
      const struct dray_csv_field *field = &record.fields[i];
      if (!field->quoted && file_settings_is_null(settings, field->text)) continue;
      file_guess_text(&layout->columns[map[i]].guess, field->text);
    }
  }
  const uint64_t taken = file_bytes_position(records.bytes);
  budget->bytes = budget->bytes > taken ? budget->bytes - taken : 0;
  file_records_close(&records);
  return rc;
}

static int32_t add_csv_file(const struct file_settings *settings, const char *path, struct budget *budget,
                            struct file_layout *layout, struct dray_error *error) {
  struct file_names names = {0};
  DRAY_TRY(file_names_read(settings, path, &names, error));
  if (names.count == 0) return DRAY_OK; // an empty file has no columns and no rows
  const size_t before = layout->count;
  size_t fresh = 0;
  int32_t rc = DRAY_OK;
  size_t *map = calloc(names.count, sizeof(*map));
  if (map == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns of %s", path);
    goto done;
  }
  rc = add_names(layout, &names, map, &fresh, error);
  if (rc != DRAY_OK) goto done;
  if (before > 0 && (fresh > 0 || names.count != layout->count)) layout->uneven = 1;
  struct budget late = {LATE_RECORDS_MAX, LATE_BYTES_MAX};
  if (settings->infer && (budget->records > 0 && budget->bytes > 0)) {
    rc = sample_csv(settings, path, map, names.count, budget, layout, error);
  } else if (settings->infer && fresh > 0) {
    rc = sample_csv(settings, path, map, names.count, &late, layout, error);
  }
done:
  free(map);
  file_names_free(&names);
  return rc;
}

// ---- JSON Lines ----

static int32_t sample_line(struct dray_str line, struct file_layout *layout, struct dray_error *error) {
  struct dray_json *root = NULL;
  const int32_t parsed = dray_json_parse(line, LINE_BYTES_MAX, &root, NULL);
  if (parsed == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, parsed, "no memory to sample a line");
  if (parsed != DRAY_OK) return DRAY_OK; // a bad line teaches nothing
  int32_t rc = DRAY_OK;
  size_t expected = 0;
  for (const struct dray_json *member = root->kind == DRAY_JSON_OBJECT ? root->child : NULL;
       member != NULL && rc == DRAY_OK; member = member->next) {
    size_t at = expected < layout->count && dray_str_is(member->name, layout->columns[expected].name)
                    ? expected
                    : file_layout_find(layout, member->name);
    const struct dray_str name = member->name;
    const int usable = name.len > 0 && name.len <= DRAY_COLUMN_NAME_MAX && !dray_column_reserved(name.data) &&
                       memchr(name.data, '\0', name.len) == NULL;
    if (!usable) continue; // such a member cannot be a column
    if (at == layout->count) rc = add_column(layout, name, FILE_COLUMN_DATA, error);
    if (rc == DRAY_OK) file_guess_json(&layout->columns[at].guess, member);
    expected = at + 1;
  }
  dray_json_free(root);
  return rc;
}

// Samples whole lines. `line` holds the beginning of one that does not end in the chunk.
static int32_t sample_lines(struct file_bytes *bytes, struct budget *budget, struct dray_buffer *line,
                            struct file_layout *layout, struct dray_error *error) {
  while (budget->records > 0 && file_bytes_position(bytes) < budget->bytes) {
    if (bytes->start == bytes->end) DRAY_TRY(file_bytes_fill(bytes, error));
    const char *from = bytes->chunk + bytes->start;
    const size_t there = bytes->end - bytes->start;
    const char *feed = there > 0 ? memchr(from, '\n', there) : NULL;
    const size_t len = feed != NULL ? (size_t)(feed - from) : there;
    if (dray_buffer_append(line, from, len, error) != DRAY_OK) return error != NULL ? error->code : DRAY_E_LIMIT;
    file_bytes_take(bytes, len + (feed != NULL));
    if (feed == NULL && !bytes->at_end) continue;
    if (line->len > 0) {
      budget->records--;
      DRAY_TRY(sample_line(dray_buffer_view(line), layout, error));
    }
    dray_buffer_clear(line);
    if (bytes->at_end) break;
  }
  return DRAY_OK;
}

static int32_t add_jsonl_file(const char *path, struct budget *budget, struct file_layout *layout,
                              struct dray_error *error) {
  struct file_mark start;
  struct file_bytes *bytes = NULL;
  struct dray_buffer line;
  // Every file is looked into, since only its lines tell its columns.
  struct budget late = {LATE_RECORDS_MAX, LATE_BYTES_MAX};
  struct budget *mine = budget->records > 0 && budget->bytes > 0 ? budget : &late;
  file_mark_start(&start);
  dray_buffer_init(&line, LINE_BYTES_MAX);
  DRAY_TRY(file_bytes_open(path, &start, &bytes, error));
  struct dray_error local;
  dray_error_init(&local);
  int32_t rc = sample_lines(bytes, mine, &line, layout, &local);
  if (rc == DRAY_E_LIMIT && line.len > 0) rc = DRAY_OK; // a line beyond all measure: reading it will report it
  if (rc != DRAY_OK && error != NULL) *error = local;
  const uint64_t taken = file_bytes_position(bytes);
  mine->bytes = mine->bytes > taken ? mine->bytes - taken : 0;
  file_bytes_close(bytes);
  dray_buffer_free(&line);
  layout->uneven = 1; // any member may be missing in any line
  return rc;
}

// ---- types ----

static int32_t add_extra(const struct file_settings *settings, const char *name, int kind, struct file_layout *layout,
                         struct dray_error *error) {
  if (name == NULL) return DRAY_OK;
  const char *setting = kind == FILE_COLUMN_PATH ? "file_column" : "line_column";
  for (size_t i = 0; i < layout->count; i++) {
    if (strcmp(layout->columns[i].name, name) != 0) continue;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting,
                           "%s is %s, but the files of %s have a column of that name", setting, name, settings->path);
  }
  DRAY_TRY(add_column(layout, dray_str_of(name), kind, error));
  layout->columns[layout->count - 1].type.id = kind == FILE_COLUMN_PATH ? DRAY_TYPE_STRING : DRAY_TYPE_INT64;
  return DRAY_OK;
}

static int32_t refuse_unknown_types(const struct file_settings *settings, const struct file_layout *layout,
                                    struct dray_error *error) {
  for (size_t i = 0; i < settings->type_count; i++) {
    const char *name = settings->types[i].name;
    if (file_layout_find(layout, dray_str_of(name)) < layout->count) continue;
    struct dray_nearest nearest;
    dray_nearest_init(&nearest, dray_str_of(name));
    for (size_t k = 0; k < layout->count; k++) dray_nearest_offer(&nearest, layout->columns[k].name);
    return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, "types", "types names the column %s, which is not in %s%s",
                           name, settings->path, dray_nearest_hint(&nearest));
  }
  return DRAY_OK;
}

static int32_t settle(const struct file_settings *settings, const struct file_set *set, struct file_layout *layout,
                      struct dray_error *error) {
  if (layout->count == 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_FILE, "path",
                           "%s%s no record, so its columns are not known; give them with `columns`", set->paths[0],
                           set->count > 1 ? " and the other files hold" : " holds");
  }
  // Among several streams a declared column need not be in each of them. In JSON Lines it may come after the sample.
  for (size_t i = 0; set->jsonl && set->alone && i < settings->type_count; i++) {
    const struct dray_str name = dray_str_of(settings->types[i].name);
    if (file_layout_find(layout, name) < layout->count) continue;
    DRAY_TRY(add_column(layout, name, FILE_COLUMN_DATA, error));
  }
  if (set->alone) DRAY_TRY(refuse_unknown_types(settings, layout, error));
  for (size_t i = 0; i < layout->count; i++) {
    struct file_column *column = &layout->columns[i];
    const struct dray_type *declared = file_settings_type(settings, column->name);
    const struct dray_type guessed = file_guess_type(&column->guess);
    const struct dray_type string = {DRAY_TYPE_STRING, 0, 0};
    const int keep_guess = settings->infer || guessed.id == DRAY_TYPE_JSON;
    column->type = declared != NULL ? *declared : keep_guess ? guessed : string;
  }
  if (set->jsonl) return DRAY_OK;
  DRAY_TRY(add_extra(settings, settings->file_column, FILE_COLUMN_PATH, layout, error));
  return add_extra(settings, settings->line_column, FILE_COLUMN_LINE, layout, error);
}

int32_t file_layout_make(const struct file_settings *settings, const struct file_set *set,
                         const struct dray_services *services, struct file_layout *out, struct dray_error *error) {
  struct file_layout layout = {0};
  struct budget budget = {(uint64_t)settings->sample_records, FILE_SAMPLE_BYTES_MAX};
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < set->count && rc == DRAY_OK; i++) {
    rc = dray_cancel_check(services, error);
    if (rc != DRAY_OK) break;
    rc = set->jsonl ? add_jsonl_file(set->paths[i], &budget, &layout, error)
                    : add_csv_file(settings, set->paths[i], &budget, &layout, error);
  }
  if (rc == DRAY_OK) rc = settle(settings, set, &layout, error);
  if (rc != DRAY_OK) {
    file_layout_free(&layout);
    return rc;
  }
  *out = layout;
  return DRAY_OK;
}
