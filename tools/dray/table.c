// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Tables for people: columns as wide as their widest cell, two blanks between them, nothing else that would spoil a
// pipe into cut or awk.
#include <errno.h>
#include <stdlib.h>

#include "output.h"

#define COLUMNS_MAX 16

struct dr_table {
  struct dr_output *output;
  const struct dr_table_column *columns;
  size_t column_count;
  char **cells; // row by row
  size_t cell_count, cell_capacity;
  int failed;
};

struct dr_table *dr_table_new(struct dr_output *output, const struct dr_table_column *columns, size_t column_count) {
  struct dr_table *table = column_count <= COLUMNS_MAX ? calloc(1, sizeof(*table)) : NULL;
  if (table == NULL) {
    output->failed = ENOMEM;
    return NULL;
  }
  table->output = output;
  table->columns = columns;
  table->column_count = column_count;
  return table;
}

// A cell is one line: what is not printable becomes a blank.
static void clean(char *text) {
  for (; *text != '\0'; text++) {
    const unsigned char c = (unsigned char)*text;
    if (c < 0x20 || c == 0x7F) *text = ' ';
  }
}

void dr_table_cell(struct dr_table *table, const char *format, ...) {
  if (table == NULL || table->failed) return;
  if (table->cell_count == table->cell_capacity) {
    const size_t capacity = table->cell_capacity == 0 ? 64 : table->cell_capacity * 2;
    char **cells = realloc(table->cells, capacity * sizeof(*cells));
    if (cells == NULL) {
      table->failed = 1;
      return;
    }
    table->cells = cells;
    table->cell_capacity = capacity;
  }
  struct dray_buffer text;
  va_list args;
  dray_buffer_init(&text, 65536);
  va_start(args, format);
  const int32_t rc = dray_buffer_vprintf(&text, NULL, format, args);
  va_end(args);
  char *cell = rc == DRAY_OK ? dray_str_dup(dray_buffer_view(&text)) : NULL;
  dray_buffer_free(&text);
  if (cell == NULL) {
    table->failed = 1;
    return;
  }
  clean(cell);
  table->cells[table->cell_count++] = cell;
}

// Characters, not bytes; wide ones are rare enough in names and counts.
static size_t width_of(const char *text) {
  size_t width = 0;
  for (; *text != '\0'; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
  return width;
}

static int32_t append_cell(struct dray_buffer *line, const char *text, size_t width, int right, int last) {
  const size_t own = width_of(text), pad = width > own ? width - own : 0;
  for (size_t i = 0; right && i < pad; i++) DRAY_TRY(dray_buffer_append_char(line, ' ', NULL));
  DRAY_TRY(dray_buffer_append_str(line, text, NULL));
  for (size_t i = 0; !right && !last && i < pad; i++) DRAY_TRY(dray_buffer_append_char(line, ' ', NULL));
  return dray_buffer_append_str(line, last ? "" : "  ", NULL);
}

static int32_t print_rows(const struct dr_table *table) {
  size_t widths[COLUMNS_MAX] = {0};
  for (size_t i = 0; i < table->column_count; i++) widths[i] = width_of(table->columns[i].title);
  for (size_t i = 0; i < table->cell_count; i++) {
    const size_t own = width_of(table->cells[i]);
    if (own > widths[i % table->column_count]) widths[i % table->column_count] = own;
  }
  struct dray_buffer line;
  dray_buffer_init(&line, 1024 * 1024);
  int32_t rc = DRAY_OK;
  for (size_t row = 0; row <= table->cell_count / table->column_count && rc == DRAY_OK; row++) {
    dray_buffer_clear(&line);
    for (size_t i = 0; i < table->column_count && rc == DRAY_OK; i++) {
      const char *text = row == 0 ? table->columns[i].title : table->cells[(row - 1) * table->column_count + i];
      rc = append_cell(&line, text, widths[i], table->columns[i].right, i + 1 == table->column_count);
    }
    while (line.len > 0 && line.data[line.len - 1] == ' ') line.data[--line.len] = '\0';
    if (rc == DRAY_OK)
      dr_print(table->output, "%s%s%s\n", row == 0 ? dr_style(table->output, DR_STYLE_BOLD) : "", line.data,
               row == 0 ? dr_style(table->output, DR_STYLE_RESET) : "");
  }
  dray_buffer_free(&line);
  return rc;
}

void dr_table_print(struct dr_table *table) {
  if (table == NULL) return;
  if (table->failed || (table->cell_count > 0 && print_rows(table) != DRAY_OK)) table->output->failed = ENOMEM;
  for (size_t i = 0; i < table->cell_count; i++) free(table->cells[i]);
  free(table->cells);
  free(table);
}
