// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// libyaml's syntax errors in the words of somebody who edits a config: what stands there, why it does not work, and
// the
// place where it went wrong rather than the place where the scanner gave up.
#include "config/yaml.h"

// What YAML 1.1 does not take as a character of a file.
static int is_control(uint32_t c) {
  if (c < 0x20) return c != '\t' && c != '\n' && c != '\r';
  return (c >= 0x7F && c < 0xA0 && c != 0x85) || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF;
}

static int is_break(uint32_t c) {
  return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029;
}

int32_t dr_yaml_check_bytes(struct dr_project *project, uint32_t file, struct dray_str text, int *out_readable) {
  struct dr_mark mark = {file, 1, 1};
  *out_readable = 0;
  for (size_t at = 0; at < text.len;) {
    uint32_t c = 0;
    const size_t taken = dr_utf8_next(text.data + at, (size_t)text.len - at, &c);
    if (c == 0xFFFD && taken == 1)
      return dr_project_problem(project, mark, 1, DRAY_E_CONFIG_SYNTAX, NULL, "config files are UTF-8",
                                "the byte 0x%02X is not valid UTF-8 here", (unsigned char)text.data[at]);
    if (is_control(c))
      return dr_project_problem(project, mark, 1, DRAY_E_CONFIG_SYNTAX, NULL,
                                "write it as an escape in double quotes, such as \"\\x07\", if it is meant",
                                "the control character U+%04X cannot stand in a YAML file", (unsigned)c);
    at += taken;
    mark.column++;
    if (is_break(c)) {
      if (c == '\r' && at < text.len && text.data[at] == '\n') at++;
      mark.line++;
      mark.column = 1;
    }
  }
  *out_readable = 1;
  return DRAY_OK;
}

struct fault {
  const char *problem; // libyaml's words
  const char *context; // NULL: any
  int at_context;      // the place to show is where the construct began
  const char *what;    // ours
  const char *why;
};

static const struct fault faults[] = {
    {"mapping values are not allowed in this context", NULL, 0, "a second \": \" stands where a value was expected",
     "put a text that holds \": \" in quotes, or begin a new line for a new key"},
    {"could not find expected ':'", NULL, 1, "a key without its \":\"",
     "a line of a mapping is `key: value`, with a blank after the colon"},
    {"did not find expected key", NULL, 0, "this does not line up with the keys above it",
     "keys of one mapping begin in the same column, and a quoted text ends with its line's value"},
    {"did not find expected '-' indicator", NULL, 0, "this does not line up with the list above it",
     "entries of one list begin with \"- \" in the same column"},
    {"did not find expected ',' or '}'", NULL, 0, "a \",\" or \"}\" is missing before this",
     "the entries of {...} are separated by commas and closed by \"}\""},
    {"did not find expected ',' or ']'", NULL, 0, "a \",\" or \"]\" is missing before this",
     "the entries of [...] are separated by commas and closed by \"]\""},
    {"found unexpected end of stream", "while scanning a quoted scalar", 1, "this quote is never closed", NULL},
    {"found unexpected document indicator", NULL, 1, "this quote is never closed", NULL},
    {"block sequence entries are not allowed in this context", NULL, 0, "a list cannot begin here",
     "begin a list on its own line, below its key"},
    {"block mapping entries are not allowed in this context", NULL, 0, "a mapping cannot begin here", NULL},
    {"found unexpected ':'", NULL, 0, "a blank is missing after this colon", "a line of a mapping is `key: value`"},
    {"found unknown escape character", NULL, 0, "this escape is not known",
     "in double quotes a backslash begins an escape; use single quotes to keep it"},
    {"found undefined tag handle", NULL, 0, "this tag is not known", "the tags are !secret, !literal and !!str"},
    {"did not find expected <document start>", NULL, 0, "the document has ended before this",
     "a file holds one mapping; everything after it must belong to it"},
    {"did not find expected node content", NULL, 0, "a value is missing here", NULL},
    {"did not find expected alphabetic or numeric character", NULL, 0, "a name is missing after & or *",
     "a value that begins with & or * is written in quotes"},
    {"did not find expected whitespace or line break", NULL, 0, "a blank is missing here", NULL},
    {"did not find expected comment or line break", NULL, 0, "nothing may follow | or > on its line", NULL},
};

static const struct fault *known_fault(const yaml_parser_t *parser) {
  for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
    const int context =
        faults[i].context == NULL || (parser->context != NULL && strcmp(parser->context, faults[i].context) == 0);
    if (context && strcmp(parser->problem, faults[i].problem) == 0) return &faults[i];
  }
  return NULL;
}

// The column of a tab that indents the line; 0: none.
static uint32_t indenting_tab(struct dray_str text, uint32_t line) {
  struct dray_str bytes;
  if (!dr_line_at(text, line, &bytes)) return 0;
  for (uint32_t i = 0; i < bytes.len && (bytes.data[i] == ' ' || bytes.data[i] == '\t'); i++) {
    if (bytes.data[i] == '\t') return i + 1;
  }
  return 0;
}

static int32_t tab_problem(struct dr_project *project, struct dr_mark mark) {
  return dr_project_problem(project, mark, 1, DRAY_E_CONFIG_SYNTAX, NULL,
                            "YAML indents with spaces only, because a tab has no agreed width",
                            "a tab indents this line");
}

// A character that cannot begin a value.
static int32_t start_problem(struct dr_project *project, struct dray_str text, struct dr_mark mark) {
  struct dray_str line;
  uint32_t c = 0;
  if (dr_line_at(text, mark.line, &line)) {
    size_t at = 0;
    for (uint32_t column = 1; column <= mark.column && at < line.len; column++)
      at += dr_utf8_next(line.data + at, (size_t)line.len - at, &c);
  }
  if (c == '\t') return tab_problem(project, mark);
  return dr_project_problem(project, mark, 1, DRAY_E_CONFIG_SYNTAX, NULL, "put the text in quotes",
                            "a value cannot begin with \"%c\"", c > 0x20 && c < 0x7F ? (int)c : '?');
}

// Two lines of which the first lacks its colon are one key to YAML, and the fault shows at the second one's colon.
// 1: the
// mark was moved to the first.
static int find_lost_colon(struct dray_str text, struct dr_mark *mark) {
  struct dray_str line, above;
  if (mark->line < 2 || !dr_line_at(text, mark->line, &line)) return 0;
  const char *colon = memchr(line.data, ':', (size_t)line.len);
  for (const char *p = line.data; colon != NULL && p < colon; p++) {
    if ((unsigned char)*p >= 0x80) return 0; // bytes are not characters here
  }
  if (colon == NULL || (uint32_t)(colon - line.data) + 1 != mark->column) return 0;
  if (!dr_line_at(text, mark->line - 1, &above) || above.len == 0) return 0;
  uint32_t indent = 0;
  while (indent < above.len && above.data[indent] == ' ') indent++;
  if (indent == above.len || above.data[indent] == '#' || memchr(above.data, ':', (size_t)above.len) != NULL) return 0;
  mark->line--;
  mark->column = indent + 1;
  return 1;
}

static struct dr_mark mark_at(uint32_t file, yaml_mark_t mark) {
  return (struct dr_mark){file, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

// Where the mistake is, rather than where the scanner gave up: the construct's beginning when the fault is known to lie
// there, or when the file ended inside it.
static struct dr_mark place_of(const yaml_parser_t *parser, uint32_t file, struct dray_str text,
                               const struct fault *fault, int *out_incomplete) {
  const struct dr_mark context = mark_at(file, parser->context_mark), mark = mark_at(file, parser->problem_mark);
  struct dray_str line;
  const int past_end = !dr_line_at(text, mark.line, &line) || line.len == 0;
  const int at_context = fault != NULL && fault->at_context;
  *out_incomplete = 0;
  if (parser->context == NULL || (!past_end && !at_context)) return mark;
  *out_incomplete = past_end && fault != NULL && !at_context && mark.line > context.line;
  return context;
}

int32_t dr_yaml_fault(struct dr_project *project, uint32_t file, struct dray_str text, const yaml_parser_t *parser,
                      struct dray_error *error) {
  if (parser->error == YAML_MEMORY_ERROR || parser->problem == NULL)
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", project->files[file].path);
  const struct fault *fault = known_fault(parser);
  int incomplete = 0;
  struct dr_mark mark = place_of(parser, file, text, fault, &incomplete);
  const uint32_t tab = indenting_tab(text, mark.line);
  if (tab != 0) {
    mark.column = tab;
    return tab_problem(project, mark);
  }
  if (strcmp(parser->problem, "found character that cannot start any token") == 0)
    return start_problem(project, text, mark);
  if (fault == &faults[0] && find_lost_colon(text, &mark)) fault = &faults[1];
  const char *what = fault != NULL ? fault->what : parser->problem;
  const char *why = fault != NULL ? fault->why : parser->context;
  return dr_project_problem(project, mark, 1, DRAY_E_CONFIG_SYNTAX, NULL, why, "%s",
                            incomplete ? "what begins here is not complete" : what);
}
