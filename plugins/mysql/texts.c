// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the text columns of a table take, as the server describes them: how many bytes, and the characters of which
// character set; and which columns have a default. Results do not say that. Called by describe.
#include <stdio.h>

#include "warehouse.h"

#define FORM_BYTES_MAX 192

// The columns of SHOW FULL COLUMNS.
enum { FULL_NAME, FULL_TYPE, FULL_COLLATION, FULL_NULL, FULL_KEY, FULL_DEFAULT, FULL_EXTRA };

// How many bytes a character has, and which characters there are. Of sets that are not here neither is said. 0 bytes:
// as many as in UTF-8.
static const struct {
  const char *name;
  uint64_t character_bytes;
  const char *characters; // NULL: not exactly known, or all there are
} sets[] = {
    {"utf8mb4", 0, NULL},
    {"utf8mb3", 0, DRAY_CHARACTERS_BMP},
    {"utf8", 0, DRAY_CHARACTERS_BMP},
    {"latin1", 1, DRAY_CHARACTERS_WINDOWS_1252},
    {"ascii", 1, DRAY_CHARACTERS_ASCII},
    {"ucs2", 2, DRAY_CHARACTERS_BMP},
    {"utf32", 4, NULL},
};

static int begins_with(const char *text, const char *word) {
  return strncasecmp(text, word, strlen(word)) == 0;
}

// The bytes of a text without a length of its own. 0: it has one, or more than a value has.
static uint64_t bytes_max(const char *type) {
  if (begins_with(type, "tinytext")) return UINT8_MAX;
  if (begins_with(type, "text")) return UINT16_MAX;
  return begins_with(type, "mediumtext") ? (1u << 24) - 1 : 0;
}

// A collation is called by its set, and what it does: latin1_swedish_ci.
static int is_of(const char *collation, const char *set) {
  const size_t len = strlen(set);
  return strncmp(collation, set, len) == 0 && (collation[len] == '_' || collation[len] == '\0');
}

// For a comparison the server uses an index only where both sides have its character set, and one of them its collation
// by declaration or word. utf8mb4 that compares bytes finds texts as they are.
static int32_t mark_found_as(const char *collation, struct ArrowSchema *column, struct dray_error *error) {
  const size_t set_len = strcspn(collation, "_");
  const int own_set = is_of(collation, "utf8mb4");
  char form[FORM_BYTES_MAX];
  int len;
  if (own_set && !dray_schema_is_loose(column)) return DRAY_OK;
  if (own_set) {
    len = snprintf(form, sizeof form, "{c} COLLATE %s", collation);
  } else {
    len = snprintf(form, sizeof form, "CONVERT({c} USING %.*s) COLLATE %s", (int)set_len, collation, collation);
  }
  if (len < 0 || (size_t)len >= sizeof form) return DRAY_OK; // no name of a collation is as long
  return dray_schema_mark(column, DRAY_MARK_FOUND_AS, form, error);
}

static int32_t mark_text(const char *type, const char *collation, struct ArrowSchema *column,
                         struct dray_error *error) {
  const uint64_t bytes = bytes_max(type);
  DRAY_TRY(mark_found_as(collation, column, error));
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
    if (!is_of(collation, sets[i].name)) continue;
    if (sets[i].characters != NULL) {
      DRAY_TRY(dray_schema_mark(column, DRAY_MARK_CHARACTERS, sets[i].characters, error));
    }
    if (bytes == 0) return DRAY_OK;
    return sets[i].character_bytes == 0
               ? dray_schema_mark_number(column, DRAY_MARK_UTF8_MAX, bytes, error)
               : dray_schema_mark_number(column, DRAY_MARK_LENGTH_MAX, bytes / sets[i].character_bytes, error);
  }
  return DRAY_OK;
}

static int32_t mark(MYSQL_ROW row, struct ArrowSchema *table, struct dray_error *error) {
  for (int64_t i = 0; i < table->n_children; i++) {
    struct ArrowSchema *column = table->children[i];
    if (strcmp(column->name, row[FULL_NAME]) != 0) continue;
    if (row[FULL_DEFAULT] != NULL || strstr(row[FULL_EXTRA], "auto_increment") != NULL) {
      DRAY_TRY(dray_schema_mark(column, DRAY_MARK_DEFAULT, "true", error));
    }
    return row[FULL_COLLATION] != NULL ? mark_text(row[FULL_TYPE], row[FULL_COLLATION], column, error) : DRAY_OK;
  }
  return DRAY_OK;
}

int32_t my_texts_mark(MYSQL_RES *shown, struct ArrowSchema *table, struct dray_error *error) {
  mysql_data_seek(shown, 0);
  for (MYSQL_ROW row = mysql_fetch_row(shown); row != NULL; row = mysql_fetch_row(shown)) {
    DRAY_TRY(mark(row, table, error));
  }
  return DRAY_OK;
}
