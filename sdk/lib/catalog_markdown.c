// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The definitions of a plugin as tables for its README, so that what is documented is what is offered.
#include "dray/sdk/catalog.h"

// Text of a cell: a bar would end it.
static int32_t append_cell(struct dray_buffer *out, const char *text, struct dray_error *error) {
  for (const char *at = text; *at != '\0'; at++) {
    if (*at == '|') DRAY_TRY(dray_buffer_append_char(out, '\\', error));
    DRAY_TRY(dray_buffer_append_char(out, *at == '\n' ? ' ' : *at, error));
  }
  return DRAY_OK;
}

static int32_t append_code(struct dray_buffer *out, const char *text, size_t len, int *first,
                           struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, *first ? "`" : ", `", error));
  DRAY_TRY(dray_buffer_append(out, text, len, error));
  *first = 0;
  return dray_buffer_append_char(out, '`', error);
}

static int32_t append_words(struct dray_buffer *out, const char *words, struct dray_error *error) {
  int first = 1;
  for (const char *at = words != NULL ? words : ""; *at != '\0';) {
    const size_t len = strcspn(at, " ");
    if (len > 0) DRAY_TRY(append_code(out, at, len, &first, error));
    at += len + (at[len] == ' ');
  }
  return first ? dray_buffer_append_str(out, "-", error) : DRAY_OK;
}

struct named_bit {
  uint32_t bit;
  const char *name;
};

static int32_t append_set(struct dray_buffer *out, uint32_t set, const struct named_bit *names, size_t name_count,
                          struct dray_error *error) {
  int first = 1;
  for (size_t i = 0; i < name_count; i++) {
    if ((set & names[i].bit) == 0) continue;
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s", first ? "" : ", ", names[i].name));
    first = 0;
  }
  return first ? dray_buffer_append_str(out, "-", error) : DRAY_OK;
}

static int32_t end_row(struct dray_buffer *out, const char *description, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, " | ", error));
  DRAY_TRY(append_cell(out, description != NULL ? description : "", error));
  return dray_buffer_append_str(out, " |\n", error);
}

int32_t dray_stream_defs_markdown(const struct dray_stream_def *defs, size_t count, struct dray_buffer *out,
                                  struct dray_error *error) {
  static const struct named_bit modes[] = {
      {DRAY_STREAM_FULL, "full"}, {DRAY_STREAM_INCREMENTAL, "incremental"}, {DRAY_STREAM_CHANGES, "changes"}};
  DRAY_TRY(
      dray_buffer_append_str(out, "| stream | primary key | cursor | modes | what |\n|---|---|---|---|---|\n", error));
  for (size_t i = 0; i < count; i++) {
    DRAY_TRY(dray_buffer_printf(out, error, "| `%s` | ", defs[i].name));
    DRAY_TRY(append_words(out, defs[i].primary_key, error));
    DRAY_TRY(dray_buffer_append_str(out, " | ", error));
    DRAY_TRY(append_words(out, defs[i].cursor, error));
    DRAY_TRY(dray_buffer_append_str(out, " | ", error));
    DRAY_TRY(append_set(out, (uint32_t)defs[i].modes, modes, sizeof(modes) / sizeof(modes[0]), error));
    DRAY_TRY(end_row(out, defs[i].description, error));
  }
  return DRAY_OK;
}

// "empties; kept: `a`, `b`; refused: `c`". "-": the object lists no field.
static int32_t append_nulls(struct dray_buffer *out, const struct dray_object_def *def, struct dray_error *error) {
  static const char *const words[] = {"kept", "refused"};
  int any = 0;
  for (size_t i = 0; i < def->field_count; i++) any |= strcmp(dray_field_null(&def->fields[i]), "emptied") == 0;
  if (any || def->field_count == 0) DRAY_TRY(dray_buffer_append_str(out, any ? "empties" : "-", error));
  for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
    int first = 1;
    for (size_t i = 0; i < def->field_count; i++) {
      const char *name = def->fields[i].name;
      if (strcmp(dray_field_null(&def->fields[i]), words[w]) != 0) continue;
      if (first) DRAY_TRY(dray_buffer_printf(out, error, "%s%s: ", any ? "; " : "", words[w]));
      DRAY_TRY(append_code(out, name, strlen(name), &first, error));
      any = 1;
    }
  }
  return DRAY_OK;
}

int32_t dray_object_defs_markdown(const struct dray_object_def *defs, size_t count, struct dray_buffer *out,
                                  struct dray_error *error) {
  static const struct named_bit operations[] = {
      {DRAY_OP_INSERT, "insert"}, {DRAY_OP_UPDATE, "update"}, {DRAY_OP_DELETE, "delete"}};
  DRAY_TRY(dray_buffer_append_str(out, "| object | operations | match keys | a null | what |\n|---|---|---|---|---|\n",
                                  error));
  for (size_t i = 0; i < count; i++) {
    int first = 1;
    DRAY_TRY(dray_buffer_printf(out, error, "| `%s` | ", defs[i].name));
    DRAY_TRY(append_set(out, defs[i].operations, operations, sizeof(operations) / sizeof(operations[0]), error));
    DRAY_TRY(dray_buffer_append_str(out, " | ", error));
    for (size_t j = 0; j < defs[i].field_count; j++) {
      const struct dray_field *field = &defs[i].fields[j];
      if ((field->flags & DRAY_FIELD_MATCH_KEY) == 0) continue;
      DRAY_TRY(append_code(out, field->name, strlen(field->name), &first, error));
      if ((field->flags & DRAY_FIELD_CASELESS) != 0) DRAY_TRY(dray_buffer_append_str(out, " (any case)", error));
    }
    if (first) DRAY_TRY(dray_buffer_append_str(out, "-", error));
    DRAY_TRY(dray_buffer_append_str(out, " | ", error));
    DRAY_TRY(append_nulls(out, &defs[i], error));
    DRAY_TRY(end_row(out, defs[i].description, error));
  }
  return DRAY_OK;
}
