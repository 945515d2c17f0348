// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What may be shown of a config file. Messages quote the line at fault, and that line may hold a password that
// somebody
// wrote into it. Two nets, because each has holes alone: spans of the tree (every value of a connection is masked
// until
// a schema has cleared it), and the look of the line's text (for files that are not even YAML).
#include <stdlib.h>

#include "config/inside.h"

#define STARS 8 // whatever the secret's length

size_t dr_utf8_next(const char *data, size_t len, uint32_t *out) {
  const unsigned char *p = (const unsigned char *)data;
  const size_t need = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
  if (need == 0 || need > len || !dray_utf8_valid(data, need)) {
    *out = 0xFFFD;
    return 1;
  }
  static const unsigned char lead[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t c = p[0] & lead[need];
  for (size_t i = 1; i < need; i++) c = c << 6 | (p[i] & 0x3Fu);
  *out = c;
  return need;
}

// Bytes of the break at `at`; 0: none there.
static size_t break_at(struct dray_str text, size_t at) {
  const char *p = text.data + at;
  const size_t left = (size_t)text.len - at;
  if (p[0] == '\r') return left > 1 && p[1] == '\n' ? 2 : 1;
  if (p[0] == '\n') return 1;
  if (left > 1 && memcmp(p, "\xC2\x85", 2) == 0) return 2;
  if (left > 2 && (memcmp(p, "\xE2\x80\xA8", 3) == 0 || memcmp(p, "\xE2\x80\xA9", 3) == 0)) return 3;
  return 0;
}

int dr_line_at(struct dray_str text, uint32_t line, struct dray_str *out) {
  size_t start = 0;
  uint32_t number = 1;
  for (size_t at = 0; at < text.len;) {
    const size_t taken = break_at(text, at);
    if (taken == 0) {
      at++;
      continue;
    }
    if (number == line) {
      *out = dray_str_make(text.data + start, at - start);
      return 1;
    }
    at += taken;
    start = at;
    number++;
  }
  if (number != line) return 0;
  *out = dray_str_make(text.data != NULL ? text.data + start : NULL, text.len - start);
  return 1;
}

int dr_name_is_secret(struct dray_str name) {
  static const char *const words[] = {"password",  "passwd",     "passphrase", "secret",     "token",    "apikey",
                                      "accesskey", "privatekey", "signingkey", "credential", "conninfo", "dsn"};
  char folded[256];
  size_t n = 0;
  for (uint64_t i = 0; i < name.len && n + 1 < sizeof(folded); i++) {
    const char c = name.data[i];
    if (c == '_' || c == '-' || c == '.') continue;
    folded[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  folded[n] = '\0';
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    if (strstr(folded, words[i]) != NULL) return 1;
  }
  return 0;
}

// ---- spans ----

static int compare_marks(struct dr_mark a, struct dr_mark b) {
  if (a.file != b.file) return a.file < b.file ? -1 : 1;
  if (a.line != b.line) return a.line < b.line ? -1 : 1;
  return a.column == b.column ? 0 : a.column < b.column ? -1 : 1;
}

static int compare_spans(const void *a, const void *b) {
  return compare_marks(((const struct dr_span *)a)->mark, ((const struct dr_span *)b)->mark);
}

static int32_t add_span(struct dr_project *project, struct dr_mark mark, uint32_t end_line, uint32_t end_column,
                        struct dray_error *error) {
  struct dr_config_inside *inside = project->inside;
  if (inside->span_count == inside->span_capacity) {
    const size_t capacity = inside->span_capacity == 0 ? 64 : inside->span_capacity * 2;
    struct dr_span *spans = NULL;
    DRAY_TRY(dr_project_alloc(project, capacity * sizeof(*spans), &spans, error));
    if (inside->span_count > 0) memcpy(spans, inside->spans, inside->span_count * sizeof(*spans));
    inside->spans = spans;
    inside->span_capacity = capacity;
  }
  inside->spans[inside->span_count++] = (struct dr_span){mark, end_line, end_column, 0};
  inside->sorted = 0;
  return DRAY_OK;
}

static int32_t mask_value_of(struct dr_project *project, const struct dr_node *node, struct dray_error *error) {
  return add_span(project, node->mark, node->end_line, node->end_column, error);
}

// "password:hunter2" without the blank is a key to YAML: what follows its colon is masked.
static int32_t mask_torn_name(struct dr_project *project, const struct dr_node *node, struct dray_error *error) {
  const char *colon = node->name.len > 0 ? memchr(node->name.data, ':', (size_t)node->name.len) : NULL;
  if (colon == NULL) return DRAY_OK;
  const uint32_t end = node->name_mark.column + node->name_width;
  struct dr_mark mark = node->name_mark;
  uint32_t c = 0;
  for (const char *p = node->name.data; p <= colon; mark.column++) p += dr_utf8_next(p, (size_t)(colon - p) + 1, &c);
  if (mark.column >= end) mark.column = node->name_mark.column; // an escape in quotes: the whole key
  return add_span(project, mark, mark.line, end, error);
}

int32_t dr_mask(struct dr_project *project, const struct dr_node *node, struct dray_error *error) {
  switch (node->kind) {
  case DR_NODE_LIST:
  case DR_NODE_MAP:
    for (const struct dr_node *child = node->child; child != NULL; child = child->next) {
      DRAY_TRY(mask_torn_name(project, child, error));
      if (!dray_str_is(child->name, "plugin")) DRAY_TRY(dr_mask(project, child, error));
    }
    return DRAY_OK;
  case DR_NODE_SECRET:
    return node->literal ? mask_value_of(project, node, error) : DRAY_OK;
  case DR_NODE_NULL:
  case DR_NODE_BOOL:
    return DRAY_OK;
  default:
    return mask_value_of(project, node, error);
  }
}

void dr_unmask(struct dr_project *project, const struct dr_node *node) {
  struct dr_config_inside *inside = project->inside;
  if (node->kind == DR_NODE_SECRET || inside->span_count == 0) return;
  if (!inside->sorted) {
    qsort(inside->spans, inside->span_count, sizeof(inside->spans[0]), compare_spans);
    inside->sorted = 1;
  }
  for (const struct dr_node *child = node->child; child != NULL; child = child->next) dr_unmask(project, child);
  const struct dr_span key = {node->mark, 0, 0, 0};
  struct dr_span *span = bsearch(&key, inside->spans, inside->span_count, sizeof(key), compare_spans);
  if (span != NULL) span->cleared = 1;
}

// ---- the text of a line ----

struct look {
  const uint32_t *chars;
  uint8_t *masked;
  size_t count;
  int all; // every value, not only those of names that sound secret
};

static void mask_range(struct look *look, size_t from, size_t to) {
  for (size_t i = from; i < to && i < look->count; i++) look->masked[i] = 1;
}

static int is_blank(uint32_t c) {
  return c == ' ' || c == '\t';
}

static int starts_with(const struct look *look, size_t at, const char *word) {
  for (; *word != '\0'; word++, at++) {
    if (at >= look->count || look->chars[at] != (unsigned char)*word) return 0;
  }
  return 1;
}

static size_t skip_blanks(const struct look *look, size_t at) {
  while (at < look->count && is_blank(look->chars[at])) at++;
  return at;
}

// Where a quoted text, a list or a mapping that begins at `at` is closed; the line's end when it is not.
static size_t closed_end(const struct look *look, size_t at) {
  const uint32_t first = look->chars[at];
  const uint32_t close = first == '[' ? ']' : first == '{' ? '}' : first;
  for (size_t i = at + 1; i < look->count; i++) {
    const int doubled = first == '\'' && i + 1 < look->count && look->chars[i + 1] == '\'';
    if (first == '"' && look->chars[i] == '\\') {
      i++;
    } else if (look->chars[i] == close) {
      if (!doubled) return i + 1;
      i++;
    }
  }
  return look->count;
}

// Where a value that begins at `at` ends: a plain one before ", " and before what closes the line.
static size_t value_end(const struct look *look, size_t at) {
  const uint32_t first = look->chars[at];
  if (first == '"' || first == '\'' || first == '[' || first == '{') return closed_end(look, at);
  size_t end = at;
  while (end < look->count && !(look->chars[end] == ',' && end + 1 < look->count && is_blank(look->chars[end + 1])))
    end++;
  while (end > at && (look->chars[end - 1] == '}' || look->chars[end - 1] == ']' || is_blank(look->chars[end - 1])))
    end--;
  return end;
}

// Masks the value at `at`; returns where to look on.
static size_t mask_value(struct look *look, size_t at, int named_secret) {
  if (starts_with(look, at, "!secret")) {
    at = skip_blanks(look, at + 7);
    if (starts_with(look, at, "env:") || starts_with(look, at, "file:") || starts_with(look, at, "exec:"))
      return value_end(look, at);
  } else if (starts_with(look, at, "!literal")) {
    at = skip_blanks(look, at + 8);
  }
  if (at >= look->count) return look->count;
  const uint32_t first = look->chars[at];
  if (first == '|' || first == '>' || (first == '#' && !named_secret && !look->all)) return at;
  if (first == '{' && !named_secret) return at; // its own keys are looked at in turn
  const size_t end = first == '#' ? look->count : value_end(look, at);
  mask_range(look, at, end);
  return end;
}

// The name before the colon at `colon`, as ASCII.
static struct dray_str name_before(const struct look *look, size_t colon, char *out, size_t out_bytes) {
  size_t end = colon;
  while (end > 0 && (is_blank(look->chars[end - 1]) || look->chars[end - 1] == '"' || look->chars[end - 1] == '\''))
    end--;
  size_t start = end;
  while (start > 0 && end - start + 1 < out_bytes && look->chars[start - 1] > ' ' && look->chars[start - 1] != '"' &&
         look->chars[start - 1] != '\'' && look->chars[start - 1] != '{' && look->chars[start - 1] != ',')
    start--;
  for (size_t i = start; i < end; i++) out[i - start] = (char)(look->chars[i] < 0x7F ? look->chars[i] : '?');
  return dray_str_make(out, end - start);
}

static int is_key_colon(const struct look *look, size_t i) {
  if (look->chars[i] != ':' || i == 0) return 0;
  if (look->all) return 1; // the blank may be what is missing
  return i + 1 == look->count || is_blank(look->chars[i + 1]) || look->chars[i - 1] == '"' ||
         look->chars[i - 1] == '\'';
}

static int is_url_end(uint32_t c) {
  return is_blank(c) || c == '/' || c == '"' || c == '\'' || c == ',' || c == '}';
}

// https://user:password@host. Without an @ (the line may be cut) only what looks like a port is shown.
static void mask_url_passwords(struct look *look) {
  for (size_t i = 0; i < look->count; i++) {
    if (!starts_with(look, i, "://")) continue;
    size_t colon = 0, end = 0, at = i + 3;
    int port = 1;
    for (; at < look->count && !is_url_end(look->chars[at]); at++) {
      if (look->chars[at] == '@') end = at;
      if (colon != 0 && (look->chars[at] < '0' || look->chars[at] > '9')) port = 0;
      if (look->chars[at] == ':' && colon == 0) colon = at;
    }
    if (colon != 0 && (end > colon || !port)) mask_range(look, colon + 1, end > colon ? end : at);
  }
}

// Whatever stands after !literal is a secret, however the rest of the line looks.
static void mask_literals(struct look *look) {
  for (size_t i = 0; i < look->count; i++) {
    if (!starts_with(look, i, "!literal")) continue;
    const size_t value = skip_blanks(look, i + 8);
    if (value < look->count) mask_range(look, value, look->all ? look->count : value_end(look, value));
  }
}

static void mask_by_look(struct look *look) {
  int keys = 0;
  char name[128];
  for (size_t i = 0; i < look->count; i++) {
    if (!is_key_colon(look, i)) continue;
    keys++;
    const struct dray_str key = name_before(look, i, name, sizeof(name));
    const int named = dr_name_is_secret(key);
    const size_t value = skip_blanks(look, i + 1);
    if (value < look->count && (named || (look->all && !dray_str_is(key, "plugin"))))
      i = mask_value(look, value, named) - 1;
  }
  if (look->all && keys == 0) mask_range(look, skip_blanks(look, 0), look->count);
  mask_literals(look);
  mask_url_passwords(look);
}

static uint64_t indent_of(struct dray_str line) {
  uint64_t at = 0;
  while (at < line.len && (line.data[at] == ' ' || line.data[at] == '\t')) at++;
  return at;
}

// The line before `line`, which is a part of `text`; 0 at the beginning. The rare breaks of YAML 1.1 do not count
// here.
static int line_before(struct dray_str text, struct dray_str line, struct dray_str *out) {
  const char *end = line.data;
  if (end > text.data && end[-1] == '\n') end--;
  if (end > text.data && end[-1] == '\r') end--;
  if (end == text.data) return 0;
  const char *start = end;
  while (start > text.data && start[-1] != '\n' && start[-1] != '\r') start--;
  *out = dray_str_make(start, (uint64_t)(end - start));
  return 1;
}

// Whether a top-level line of dray.yaml begins a section that holds no settings.
static int begins_other_section(struct dray_str line) {
  static const char *const names[] = {"version", "plugins", "memory", "stall_timeout", "models", "syncs"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    const size_t len = strlen(names[i]);
    if (line.len > len && memcmp(line.data, names[i], len) == 0 && line.data[len] == ':') return 1;
  }
  return 0;
}

// Whether the line may lie under the top-level key `connections`. Files that are asked about are broken, so a key at
// the
// margin that is no known section may be that one, misspelt.
static int under_connections(const struct dr_config_file *file, struct dray_str line) {
  if (strncmp(file->path, "connections/", 12) == 0) return 1;
  if (strcmp(file->path, "dray.yaml") != 0) return 0;
  do {
    if (line.len == 0 || line.data[0] == '#' || indent_of(line) > 0) continue;
    if (begins_other_section(line)) return 0;
    if (memchr(line.data, ':', (size_t)line.len) != NULL) return 1;
  } while (line_before(file->text, line, &line));
  return 0;
}

// Whether the line goes on with the value of a key that sounds secret, such as a block scalar.
static int continues_secret(const struct dr_config_file *file, struct dray_str line) {
  const uint64_t indent = indent_of(line);
  while (indent > 0 && line_before(file->text, line, &line)) {
    if (indent_of(line) == line.len || indent_of(line) >= indent) continue;
    const char *colon = memchr(line.data, ':', (size_t)line.len);
    if (colon == NULL || memchr(line.data, '{', (size_t)line.len) != NULL) return 0;
    return dr_name_is_secret(dray_str_make(line.data, (uint64_t)(colon - line.data)));
  }
  return 0;
}

static void mask_by_spans(const struct dr_project *project, uint32_t file, uint32_t line, struct look *look) {
  const struct dr_config_inside *inside = project->inside;
  for (size_t i = 0; i < inside->span_count; i++) {
    const struct dr_span *span = &inside->spans[i];
    if (span->cleared || span->mark.file != file || span->mark.line > line || span->end_line < line) continue;
    const size_t from = span->mark.line == line ? span->mark.column - 1 : 0;
    const size_t to = span->end_line == line ? span->end_column - 1 : look->count;
    mask_range(look, span->mark.line == line ? from : skip_blanks(look, from), to);
  }
}

// Puts STARS characters in the place of every masked run.
static void star_out(const struct look *look, struct dr_shown_line *out) {
  for (size_t i = 0; i < look->count;) {
    if (!look->masked[i]) {
      out->chars[out->count] = look->chars[i];
      out->columns[out->count++] = (uint32_t)++i;
      continue;
    }
    size_t end = i;
    while (end < look->count && look->masked[end]) end++;
    for (size_t star = 0; star < STARS; star++) {
      out->chars[out->count] = '*';
      out->columns[out->count++] = (uint32_t)(i + (star < end - i ? star : end - i - 1) + 1);
    }
    i = end;
  }
}

int32_t dr_shown_line(const struct dr_project *project, uint32_t file, uint32_t line, struct dr_shown_line *out,
                      struct dray_error *error) {
  struct dray_str text;
  const struct dr_config_file *source = &project->files[file];
  if (!dr_line_at(source->text, line, &text)) text = dray_str_make(source->text.data, 0);
  const size_t room = (size_t)text.len;
  uint32_t *chars = calloc(room + 1, sizeof(*chars));
  uint8_t *masked = calloc(room + 1, 1);
  struct dr_shown_line shown = {calloc(room * STARS + 1, sizeof(uint32_t)), calloc(room * STARS + 1, sizeof(uint32_t)),
                                0};
  int32_t rc = DRAY_OK;
  if (chars == NULL || masked == NULL || shown.chars == NULL || shown.columns == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to show line %u of %s", line, source->path);
    dr_shown_line_free(&shown);
    goto done;
  }
  struct look look = {chars, masked, 0, 0};
  for (size_t at = 0; at < text.len;) at += dr_utf8_next(text.data + at, (size_t)text.len - at, &chars[look.count++]);
  look.all = project->inside->broken[file] && under_connections(source, text);
  mask_by_spans(project, file, line, &look);
  mask_by_look(&look);
  if (continues_secret(source, text)) mask_range(&look, skip_blanks(&look, 0), look.count);
  star_out(&look, &shown);
  *out = shown;
done:
  free(chars);
  free(masked);
  return rc;
}

void dr_shown_line_free(struct dr_shown_line *line) {
  free(line->chars);
  free(line->columns);
  memset(line, 0, sizeof(*line));
}
