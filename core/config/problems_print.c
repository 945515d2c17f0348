// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Problems for people, in the order of the files: place, sentence, the line with its marks, why, what was meant; and
// for programs, one JSON object a line (without the line's text: programs have the file).
#include <stdio.h>
#include <stdlib.h>

#include "base/redact.h"
#include "config/inside.h"
#include "dray/sdk/json.h"

#define COLUMNS_MAX 110 // of a shown line; a longer one is cut around its mark
#define COLUMNS_BEFORE 50

struct printer {
  const struct dr_project *project;
  int colour;
  struct dray_buffer *out;
  struct dray_error *error;
};

struct width_range {
  uint32_t first, last;
  int width;
};
// Terminal columns of characters that do not take one: combining marks and the wide blocks of East Asia and emoji
// (Unicode 15 EastAsianWidth, coarsely).
static const struct width_range width_ranges[] = {
    {0x0300, 0x036F, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05BD, 0},   {0x0610, 0x061A, 0},   {0x064B, 0x065F, 0},
    {0x1100, 0x115F, 2},   {0x1AB0, 0x1AFF, 0},   {0x1DC0, 0x1DFF, 0},   {0x200B, 0x200F, 0},   {0x20D0, 0x20FF, 0},
    {0x2E80, 0x303E, 2},   {0x3041, 0xA4CF, 2},   {0xA960, 0xA97F, 2},   {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},
    {0xFE00, 0xFE0F, 0},   {0xFE20, 0xFE2F, 0},   {0xFE30, 0xFE6F, 2},   {0xFF00, 0xFF60, 2},   {0xFFE0, 0xFFE6, 2},
    {0x1F300, 0x1F64F, 2}, {0x1F680, 0x1F6FF, 2}, {0x1F900, 0x1F9FF, 2}, {0x20000, 0x3FFFD, 2},
};

static int columns_of(uint32_t c) {
  for (size_t i = 0; i < sizeof(width_ranges) / sizeof(width_ranges[0]); i++) {
    if (c >= width_ranges[i].first && c <= width_ranges[i].last) return width_ranges[i].width;
  }
  return 1;
}

static int32_t append_char(struct printer *p, uint32_t c) {
  char bytes[4];
  size_t len = 0;
  if (c == '\t') c = 0x2192; // a tab is shown as an arrow: it is often what is wrong
  if (c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069)) c = 0xFFFD;
  if (c < 0x80) {
    bytes[len++] = (char)c;
  } else if (c < 0x800) {
    bytes[len++] = (char)(0xC0 | c >> 6);
  } else if (c < 0x10000) {
    bytes[len++] = (char)(0xE0 | c >> 12);
    bytes[len++] = (char)(0x80 | (c >> 6 & 0x3F));
  } else {
    bytes[len++] = (char)(0xF0 | c >> 18);
    bytes[len++] = (char)(0x80 | (c >> 12 & 0x3F));
    bytes[len++] = (char)(0x80 | (c >> 6 & 0x3F));
  }
  if (c >= 0x80) bytes[len++] = (char)(0x80 | (c & 0x3F));
  return dray_buffer_append(p->out, bytes, len, p->error);
}

// One line whatever is in it: names from the files can hold anything.
static int32_t append_clean(struct printer *p, const char *text) {
  const size_t len = strlen(text);
  for (size_t at = 0; at < len;) {
    uint32_t c = 0;
    at += dr_utf8_next(text + at, len - at, &c);
    DRAY_TRY(append_char(p, c));
  }
  return DRAY_OK;
}

static int32_t append_styled(struct printer *p, const char *style, const char *text) {
  if (p->colour) DRAY_TRY(dray_buffer_append_str(p->out, style, p->error));
  DRAY_TRY(append_clean(p, text));
  return p->colour ? dray_buffer_append_str(p->out, "\033[0m", p->error) : DRAY_OK;
}

static int32_t append_repeated(struct printer *p, char c, int count) {
  for (int i = 0; i < count; i++) DRAY_TRY(dray_buffer_append_char(p->out, c, p->error));
  return DRAY_OK;
}

// The part of a line that is shown: from its start, or around the mark when it is long.
static void choose_window(const struct dr_shown_line *line, size_t at, size_t *out_from, size_t *out_to) {
  int before = 0, total = 0;
  size_t from = 0;
  for (size_t i = 0; i < line->count; i++) total += columns_of(line->chars[i]);
  if (total > COLUMNS_MAX) {
    for (from = at; from > 0 && before < COLUMNS_BEFORE; from--) before += columns_of(line->chars[from - 1]);
  }
  size_t to = from;
  for (int shown = 0; to < line->count && shown < COLUMNS_MAX; to++) shown += columns_of(line->chars[to]);
  *out_from = from;
  *out_to = to;
}

static int32_t print_marks(struct printer *p, const struct dr_problem *problem, const struct dr_shown_line *line,
                           size_t from, size_t to, int gutter) {
  const uint64_t end = (uint64_t)problem->mark.column + (problem->width > 0 ? problem->width : 1);
  int blanks = from > 0 ? 1 : 0, marks = 0;
  for (size_t i = from; i < to; i++) {
    if (line->columns[i] < problem->mark.column) blanks += columns_of(line->chars[i]);
    if (line->columns[i] >= problem->mark.column && line->columns[i] < end) marks += columns_of(line->chars[i]);
  }
  DRAY_TRY(append_repeated(p, ' ', gutter));
  DRAY_TRY(dray_buffer_append_str(p->out, " | ", p->error));
  DRAY_TRY(append_repeated(p, ' ', blanks));
  if (p->colour) DRAY_TRY(dray_buffer_append_str(p->out, "\033[1;31m", p->error));
  DRAY_TRY(append_repeated(p, '^', marks > 0 ? marks : 1));
  if (p->colour) DRAY_TRY(dray_buffer_append_str(p->out, "\033[0m", p->error));
  return dray_buffer_append_char(p->out, '\n', p->error);
}

static int32_t print_line(struct printer *p, const struct dr_problem *problem, int gutter) {
  struct dr_shown_line line;
  DRAY_TRY(dr_shown_line(p->project, problem->mark.file, problem->mark.line, &line, p->error));
  size_t at = 0, from = 0, to = 0;
  while (at < line.count && line.columns[at] < problem->mark.column) at++;
  choose_window(&line, at, &from, &to);
  int32_t rc = dray_buffer_printf(p->out, p->error, "%*u | %s", gutter, problem->mark.line, from > 0 ? "…" : "");
  for (size_t i = from; i < to && rc == DRAY_OK; i++) rc = append_char(p, line.chars[i]);
  if (rc == DRAY_OK) rc = dray_buffer_append_str(p->out, to < line.count ? "…\n" : "\n", p->error);
  if (rc == DRAY_OK) rc = print_marks(p, problem, &line, from, to, gutter);
  dr_shown_line_free(&line);
  return rc;
}

static const char *path_of(const struct dr_project *project, const struct dr_problem *problem) {
  return problem->mark.file < project->file_count ? project->files[problem->mark.file].path : "dray.yaml";
}

static int32_t print_problem(struct printer *p, const struct dr_problem *problem) {
  const int placed = problem->mark.line > 0 && problem->mark.file < p->project->file_count;
  char place[64] = ": ";
  int gutter = 4;
  for (uint32_t n = problem->mark.line; n >= 10000; n /= 10) gutter++;
  if (placed) (void)snprintf(place, sizeof(place), ":%u:%u: ", problem->mark.line, problem->mark.column);
  if (p->colour) DRAY_TRY(dray_buffer_append_str(p->out, "\033[1m", p->error));
  DRAY_TRY(append_clean(p, path_of(p->project, problem)));
  DRAY_TRY(append_styled(p, "", place));
  DRAY_TRY(append_styled(p, "\033[1;31m", "error"));
  DRAY_TRY(dray_buffer_printf(p->out, p->error, "[%s]: ", dray_error_info(problem->code)->name));
  DRAY_TRY(append_clean(p, problem->what));
  DRAY_TRY(dray_buffer_append_char(p->out, '\n', p->error));
  if (placed) DRAY_TRY(print_line(p, problem, gutter));
  if (problem->why != NULL) {
    DRAY_TRY(dray_buffer_append_str(p->out, "  why: ", p->error));
    DRAY_TRY(append_clean(p, problem->why));
    DRAY_TRY(dray_buffer_append_char(p->out, '\n', p->error));
  }
  if (problem->nearest == NULL) return DRAY_OK;
  DRAY_TRY(dray_buffer_append_str(p->out, "  did you mean \"", p->error));
  DRAY_TRY(append_styled(p, "\033[1m", problem->nearest));
  return dray_buffer_append_str(p->out, "\"?\n", p->error);
}

static int32_t print_problem_json(struct printer *p, const struct dr_problem *problem) {
  struct dray_json_writer w;
  const struct dray_error_info *info = dray_error_info(problem->code);
  dray_json_writer_init(&w, p->out, p->error);
  dray_json_begin_object(&w);
  dray_json_key(&w, "v");
  dray_json_write_int(&w, 1);
  dray_json_key(&w, "type");
  dray_json_write_text(&w, "problem");
  dray_json_key(&w, "code");
  dray_json_write_int(&w, problem->code);
  dray_json_key(&w, "name");
  dray_json_write_text(&w, info->name);
  dray_json_key(&w, "file");
  dray_json_write_text(&w, path_of(p->project, problem));
  if (problem->mark.line > 0) {
    dray_json_key(&w, "line");
    dray_json_write_int(&w, problem->mark.line);
    dray_json_key(&w, "column");
    dray_json_write_int(&w, problem->mark.column);
    dray_json_key(&w, "width");
    dray_json_write_int(&w, problem->width > 0 ? problem->width : 1);
  }
  dray_json_key(&w, "text");
  dray_json_write_text(&w, problem->what);
  if (problem->why != NULL) {
    dray_json_key(&w, "why");
    dray_json_write_text(&w, problem->why);
  }
  if (problem->nearest != NULL) {
    dray_json_key(&w, "nearest");
    dray_json_write_text(&w, problem->nearest);
  }
  dray_json_key(&w, "fix");
  dray_json_write_text(&w, info->fix);
  dray_json_end_object(&w);
  DRAY_TRY(dray_json_writer_finish(&w));
  return dray_buffer_append_char(p->out, '\n', p->error);
}

static int compare_problems(const void *a, const void *b) {
  const struct dr_problem *x = *(const struct dr_problem *const *)a;
  const struct dr_problem *y = *(const struct dr_problem *const *)b;
  if (x->mark.file != y->mark.file) return x->mark.file < y->mark.file ? -1 : 1;
  if (x->mark.line != y->mark.line) return x->mark.line < y->mark.line ? -1 : 1;
  if (x->mark.column != y->mark.column) return x->mark.column < y->mark.column ? -1 : 1;
  return x < y ? -1 : x > y; // of one place: in the order they were found
}

// Of a connection without a plugin: whoever looks for the plugin finds none, but that is not a second mistake.
static int is_consequence(const struct dr_problem *problem) {
  return problem->code == DRAY_E_PLUGIN_MISSING && problem->mark.line == 0;
}

static int32_t print_sum(struct printer *p, size_t shown) {
  const size_t total = shown + p->project->problems.more;
  if (total == 0) return DRAY_OK;
  if (p->project->problems.more > 0)
    return dray_buffer_printf(p->out, p->error, "%zu errors in the config, %zu of them not shown\n", total,
                              p->project->problems.more);
  return dray_buffer_printf(p->out, p->error, "%zu error%s in the config\n", total, total == 1 ? "" : "s");
}

int32_t dr_problems_print(const struct dr_project *project, int json, int colour, struct dray_buffer *out,
                          struct dray_error *error) {
  struct printer p = {project, colour && !json, out, error};
  const size_t start = out->len, count = project->problems.count;
  const struct dr_problem **sorted = calloc(count + 1, sizeof(const struct dr_problem *));
  if (sorted == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to show %zu problems", count);
  for (size_t i = 0; i < count; i++) sorted[i] = &project->problems.items[i];
  qsort(sorted, count, sizeof(const struct dr_problem *), compare_problems);
  int32_t rc = DRAY_OK;
  size_t shown = 0;
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) {
    if (is_consequence(sorted[i])) continue;
    rc = json ? print_problem_json(&p, sorted[i]) : print_problem(&p, sorted[i]);
    shown++;
  }
  if (rc == DRAY_OK && !json) rc = print_sum(&p, shown);
  free(sorted);
  if (rc == DRAY_OK && out->len > start) {
    out->len = start + dr_redact(out->data + start, out->len - start);
    out->data[out->len] = '\0';
  }
  return rc;
}
