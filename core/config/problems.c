// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Collecting problems, the memory they live in, and the name that was meant.
#include <stdarg.h>
#include <stdio.h>

#include "config/inside.h"
#include "dray/sdk/config.h"

int32_t dr_project_alloc(struct dr_project *project, size_t size, void *out_pointer, struct dray_error *error) {
  void *memory = dr_arena_alloc(&project->arena, size);
  if (memory == NULL && size + project->arena.used_bytes > project->arena.max_bytes)
    return dray_fail(error, DRAY_E_CONFIG_LIMIT, "the config needs more than %zu bytes of memory",
                     project->arena.max_bytes);
  if (memory == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read the config (%zu bytes)", size);
  memcpy(out_pointer, &memory, sizeof(memory));
  return DRAY_OK;
}

int32_t dr_project_text(struct dr_project *project, struct dray_str text, const char **out, struct dray_error *error) {
  char *copy = NULL;
  DRAY_TRY(dr_project_alloc(project, (size_t)text.len + 1, &copy, error));
  if (text.len > 0) memcpy(copy, text.data, (size_t)text.len);
  *out = copy;
  return DRAY_OK;
}

static int32_t format_args(struct dr_project *project, const char **out, struct dray_error *error, const char *format,
                           va_list args) DRAY_PRINTF(4, 0);
static int32_t format_args(struct dr_project *project, const char **out, struct dray_error *error, const char *format,
                           va_list args) {
  va_list again;
  va_copy(again, args);
  const int len = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (len < 0) return dray_fail(error, DRAY_E_INTERNAL, "a message of the config could not be formatted");
  char *text = NULL;
  DRAY_TRY(dr_project_alloc(project, (size_t)len + 1, &text, error));
  (void)vsnprintf(text, (size_t)len + 1, format, args);
  *out = text;
  return DRAY_OK;
}

int32_t dr_project_format(struct dr_project *project, const char **out, struct dray_error *error, const char *format,
                          ...) {
  va_list args;
  va_start(args, format);
  const int32_t rc = format_args(project, out, error, format, args);
  va_end(args);
  return rc;
}

static int32_t make_room(struct dr_project *project) {
  struct dr_config_inside *inside = project->inside;
  if (project->problems.count < inside->problem_capacity) return DRAY_OK;
  const size_t capacity = inside->problem_capacity == 0 ? 16 : inside->problem_capacity * 2;
  struct dr_problem *items = NULL;
  DRAY_TRY(dr_project_alloc(project, capacity * sizeof(*items), &items, NULL));
  if (project->problems.count > 0) memcpy(items, project->problems.items, project->problems.count * sizeof(*items));
  project->problems.items = items;
  inside->problem_capacity = capacity;
  return DRAY_OK;
}

static int32_t add_problem(struct dr_project *project, const struct dr_problem *given, const char *format, va_list args)
    DRAY_PRINTF(3, 0);
static int32_t add_problem(struct dr_project *project, const struct dr_problem *given, const char *format,
                           va_list args) {
  if (project->problems.count == DR_CONFIG_PROBLEMS_MAX) {
    project->problems.more++;
    return DRAY_OK;
  }
  struct dr_problem problem = *given;
  DRAY_TRY(make_room(project));
  DRAY_TRY(format_args(project, &problem.what, NULL, format, args));
  if (given->why != NULL) DRAY_TRY(dr_project_text(project, dray_str_of(given->why), &problem.why, NULL));
  if (given->nearest != NULL) DRAY_TRY(dr_project_text(project, dray_str_of(given->nearest), &problem.nearest, NULL));
  project->problems.items[project->problems.count++] = problem;
  return DRAY_OK;
}

int32_t dr_project_problem(struct dr_project *project, struct dr_mark mark, uint32_t width, int32_t code,
                           const char *nearest, const char *why, const char *format, ...) {
  const struct dr_problem problem = {.mark = mark, .width = width, .code = code, .nearest = nearest, .why = why};
  va_list args;
  va_start(args, format);
  const int32_t rc = add_problem(project, &problem, format, args);
  va_end(args);
  return rc;
}

int32_t dr_problem_at(struct dr_reader *reader, const struct dr_node *node, int32_t code, const char *nearest,
                      const char *why, const char *format, ...) {
  const struct dr_problem problem = {
      .mark = node->mark, .width = node->width, .code = code, .nearest = nearest, .why = why};
  va_list args;
  va_start(args, format);
  const int32_t rc = add_problem(reader->project, &problem, format, args);
  va_end(args);
  return rc;
}

int32_t dr_problem_at_name(struct dr_reader *reader, const struct dr_node *node, int32_t code, const char *nearest,
                           const char *why, const char *format, ...) {
  const int named = node->name.len > 0;
  const struct dr_problem problem = {.mark = named ? node->name_mark : node->mark,
                                     .width = named ? node->name_width : node->width,
                                     .code = code,
                                     .nearest = nearest,
                                     .why = why};
  va_list args;
  va_start(args, format);
  const int32_t rc = add_problem(reader->project, &problem, format, args);
  va_end(args);
  return rc;
}

const char *dr_nearest(const char *name, const char *const *names, size_t name_count) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(name));
  for (size_t i = 0; i < name_count; i++) dray_nearest_offer(&nearest, names[i]);
  return nearest.best;
}
