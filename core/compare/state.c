// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The parts of a comparison: both sides, the sieve between two CSV files, and the keys that are not told.
#include "compare/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/board.h"
#include "base/file.h"
#include "base/log.h"
#include "compare/pairs.h"
#include "compare/sieve.h"

#define SCRATCH_BYTES_MAX (256u << 20)
#define COLUMNS_MAX 4000u // as that plugin allows

int32_t dr_inside_new(const struct dr_compare_options *options, struct dr_compare_inside **out,
                      struct dray_error *error) {
  struct dr_compare_inside *inside = calloc(1, sizeof(*inside));
  if (inside == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a comparison");
  inside->options = options;
  dray_buffer_init(&inside->scratch, SCRATCH_BYTES_MAX);
  inside->mirror_folder = dr_path_join(options->folder, "mirror");
  inside->set_paths[DR_COMPARE_OLD] = dr_path_join(options->folder, "old.changes");
  inside->set_paths[DR_COMPARE_NEW] = dr_path_join(options->folder, "new.changes");
  *out = inside;
  if (inside->mirror_folder == NULL || inside->set_paths[0] == NULL || inside->set_paths[1] == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  }
  return DRAY_OK;
}

void dr_inside_free(struct dr_compare_inside *inside) {
  if (inside == NULL) return;
  for (int side = 0; side < 2; side++) {
    dr_changeset_close(inside->sets[side]);
    dr_side_close(&inside->from[side]);
    free(inside->set_paths[side]);
  }
  dr_mirror_close(inside->mirror);
  pairs_free(inside->pairs);
  dr_sieve_free(inside->sieve);
  dr_plugin_paths_free(&inside->paths);
  dray_buffer_free(&inside->scratch);
  free(inside->mirror_folder);
  free(inside->declared);
  free(inside->shunned);
  free(inside);
}

int32_t dr_inside_open(struct dr_compare_inside *inside, struct dray_error *error) {
  const struct dr_compare_options *options = inside->options;
  DRAY_TRY(dr_folder_make(inside->mirror_folder, error));
  DRAY_TRY(dr_plugin_paths_init(&inside->paths, NULL, 0, error));
  for (int side = 0; side < 2; side++) {
    DRAY_TRY(dr_side_init(&inside->from[side], side == DR_COMPARE_OLD ? "OLD" : "NEW", options->places[side],
                          &options->dialect, error));
  }
  DRAY_TRY(dr_side_open(&inside->from[DR_COMPARE_OLD], &inside->paths, error));
  return dr_side_open(&inside->from[DR_COMPARE_NEW], &inside->paths, error);
}

// ---- keys that are not told ----

int32_t dr_inside_shun(struct dr_compare_inside *inside, struct dr_hash128 key, struct dray_error *error) {
  if (inside->shunned_count == inside->shunned_capacity) {
    const size_t capacity = inside->shunned_capacity * 2 + 64;
    struct dr_hash128 *grown = realloc(inside->shunned, capacity * sizeof(*grown));
    if (grown == NULL)
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu keys that are not unique", capacity);
    inside->shunned = grown;
    inside->shunned_capacity = capacity;
  }
  inside->shunned[inside->shunned_count++] = key;
  return DRAY_OK;
}

static int compare_keys(const void *a, const void *b) {
  const struct dr_hash128 *left = a, *right = b;
  if (left->high != right->high) return left->high < right->high ? -1 : 1;
  return left->low < right->low ? -1 : left->low > right->low;
}

void dr_inside_sort_shunned(struct dr_compare_inside *inside) {
  if (inside->shunned_count > 0) {
    qsort(inside->shunned, inside->shunned_count, sizeof(*inside->shunned), compare_keys);
  }
}

int dr_inside_is_shunned(const struct dr_compare_inside *inside, struct dr_hash128 key) {
  return inside->shunned_count > 0 &&
         bsearch(&key, inside->shunned, inside->shunned_count, sizeof(*inside->shunned), compare_keys) != NULL;
}

// ---- the sieve ----

// A type whose equal values are all that the reading takes for equal: what is not of the type is left in the rest.
static struct dray_type sieve_type(const struct dr_reading *reading) {
  switch (reading->kind) {
  case DR_READING_DECLARED:
    return reading->type;
  case DR_READING_NUMBER:
    return (struct dray_type){DRAY_TYPE_DECIMAL, DRAY_DECIMAL_PRECISION_MAX, 9};
  case DR_READING_BOOL:
    return (struct dray_type){DRAY_TYPE_BOOL, 0, 0};
  case DR_READING_TIMESTAMP:
    return (struct dray_type){DRAY_TYPE_TIMESTAMP, 0, 0};
  default:
    return (struct dray_type){DRAY_TYPE_STRING, 0, 0};
  }
}

static void on_progress(void *ctx, uint64_t bytes_done, uint64_t bytes_total) {
  (void)ctx;
  struct dr_board *board = dr_board();
  atomic_store_explicit(&board->bytes_read, bytes_done, memory_order_relaxed);
  atomic_store_explicit(&board->bytes_total, bytes_total, memory_order_relaxed);
  dr_board_beat();
}

static int32_t run_sieve(struct dr_compare *compare, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  const struct dr_compare_options *options = inside->options;
  struct dr_sieve_key keys[DR_SIEVE_KEYS_MAX];
  for (size_t i = 0; i < options->key_count; i++) {
    const ptrdiff_t at = dr_schema_find(compare->schema, dray_str_of(options->key[i]));
    keys[i] = (struct dr_sieve_key){options->key[i], sieve_type(&compare->readings[at])};
  }
  const struct dr_sieve_options sieve = {.paths = {inside->from[0].path, inside->from[1].path},
                                         .temp_folder = options->folder,
                                         .csv = {.delimiter = dr_side_delimiter(&inside->from[0]),
                                                 .field_bytes_max = DR_COMPARE_FIELD_BYTES_MAX,
                                                 .record_bytes_max = DR_COMPARE_FIELD_BYTES_MAX + (16u << 20),
                                                 .fields_max = COLUMNS_MAX},
                                         .header = !options->dialect.no_header,
                                         .keys = keys,
                                         .key_count = options->key_count,
                                         .null_values = options->dialect.null_values,
                                         .null_count = options->dialect.null_count,
                                         .memory_bytes = options->memory_bytes,
                                         .rest_memory_bytes = options->memory_bytes / 4 * 3,
                                         .threads = options->threads,
                                         .progress = on_progress};
  return dr_sieve_run(&sieve, &inside->sieve, error);
}

static const char *unfit(const struct dr_compare *compare) {
  const struct dr_compare_inside *inside = compare->inside;
  if (inside->options->no_sieve) return "it was not wanted";
  if (inside->from[0].kind != DR_SIDE_CSV || inside->from[1].kind != DR_SIDE_CSV) return "not both sides are CSV files";
  if (inside->from[0].hollow || inside->from[1].hollow) return "one side is empty";
  if (inside->options->key_count > DR_SIEVE_KEYS_MAX) return "the key has too many columns";
  if (dr_side_delimiter(&inside->from[0]) != dr_side_delimiter(&inside->from[1])) return "the delimiters differ";
  return NULL;
}

int32_t dr_inside_sieve(struct dr_compare *compare, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  const char *why = unfit(compare);
  if (why == NULL) DRAY_TRY(run_sieve(compare, error));
  const struct dr_sieve_result *result = inside->sieve != NULL ? dr_sieve_result(inside->sieve) : NULL;
  if (result != NULL && !result->sievable) why = result->reason;
  if (why != NULL) {
    (void)snprintf(compare->sieve_reason, sizeof(compare->sieve_reason), "%s", why);
    dr_log(DRAY_LOG_INFO, "compare", "every row goes through the engine: %s", why);
    return DRAY_OK;
  }
  compare->counts.settled = result->unchanged;
  for (int side = 0; side < 2; side++) compare->sides[side].rows = result->unchanged;
  atomic_store_explicit(&dr_board()->rows_read, result->unchanged * 2, memory_order_relaxed);
  return DRAY_OK;
}

int32_t dr_inside_redirect(struct dr_compare *compare, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  if (inside->sieve == NULL || !dr_sieve_result(inside->sieve)->sievable) return DRAY_OK;
  DRAY_TRY(dr_sieve_rest_to_files(inside->sieve, error));
  for (int side = 0; side < 2; side++) {
    const struct dr_sieve_side *rest = &dr_sieve_result(inside->sieve)->sides[side];
    DRAY_TRY(dr_side_redirect(&inside->from[side], rest->rest_path, rest->rest_rows, error));
  }
  return DRAY_OK;
}

// The plugin names a record by its file's name and its line: those of the rest file are turned into the input's.
void dr_inside_place(struct dr_compare_inside *inside, int side, const char *reason, char *out, size_t out_bytes) {
  struct dr_sieve_origin origin;
  out[0] = '\0';
  const struct dr_sieve_result *result = inside->sieve != NULL ? dr_sieve_result(inside->sieve) : NULL;
  if (result == NULL || !result->sievable) return;
  const char *line = strstr(reason, " line ");
  const char *colon = strstr(reason, ": ");
  if (line == NULL || colon == NULL || line > colon) return;
  const uint64_t number = strtoull(line + 6, NULL, 10);
  if (dr_sieve_origin(inside->sieve, side, number, &origin, NULL) != DRAY_OK) return;
  (void)snprintf(out, out_bytes, "%.200s line %llu", inside->options->places[side], (unsigned long long)origin.line);
}
