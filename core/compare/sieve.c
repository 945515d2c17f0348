// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The sieve from end to end: OLD into entries, NEW against them, what is left into the rest files.
#include "compare/sieve.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/file.h"
#include "compare/inside.h"

#define CHUNK_BYTES (UINT32_C(256) << 10)
#define CHUNK_BYTES_MAX (UINT32_C(64) << 20)
#define RECORD_BYTES (UINT64_C(16) << 20)
#define RECORD_BYTES_MAX (UINT64_C(1) << 30)
#define SAMPLE_BYTES (UINT32_C(64) << 10)
#define FIELD_BYTES (UINT64_C(1) << 20)
#define HEADER_BYTES_MAX (UINT64_C(1) << 31)

int32_t sieve_refuse(struct dr_sieve *sieve, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)vsnprintf(sieve->result.reason, sizeof(sieve->result.reason), format, args);
  va_end(args);
  return SIEVE_REFUSED;
}

// ---- options ----

static const char *const empty_is_null[] = {""};

static int32_t check_options(const struct dr_sieve_options *options, struct dray_error *error) {
  if (options->paths[0] == NULL || options->paths[1] == NULL || options->temp_folder == NULL) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "two files to compare and a folder for temporary files are needed");
  }
  if (options->key_count == 0 || options->key_count > DR_SIEVE_KEYS_MAX) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "a key of 1 to %d columns is needed, not of %zu", DR_SIEVE_KEYS_MAX,
                     options->key_count);
  }
  if (options->threads > LANE_THREADS_MAX || options->chunk_bytes > CHUNK_BYTES_MAX) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "%u threads with chunks of %u bytes are more than %d with %u",
                     options->threads, options->chunk_bytes, LANE_THREADS_MAX, CHUNK_BYTES_MAX);
  }
  return DRAY_OK;
}

static int32_t take_options(struct dr_sieve *sieve, struct dray_error *error) {
  const struct dr_sieve_options *options = sieve->options;
  const struct dray_csv_options *csv = &options->csv;
  uint64_t seed = 0;
  sieve->temp_folder = dray_str_dup(dray_str_of(options->temp_folder));
  if (sieve->temp_folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  sieve->threads = options->threads != 0 ? options->threads : 2;
  sieve->chunk_bytes = options->chunk_bytes != 0 ? options->chunk_bytes : CHUNK_BYTES;
  sieve->record_bytes_max = csv->record_bytes_max != 0 ? csv->record_bytes_max : RECORD_BYTES;
  if (sieve->record_bytes_max > RECORD_BYTES_MAX) sieve->record_bytes_max = RECORD_BYTES_MAX;
  sieve->dialect.delimiter = csv->delimiter != '\0' ? csv->delimiter : ',';
  sieve->dialect.quote = csv->quote != '\0' ? csv->quote : '"';
  struct key_plan *plan = &sieve->plan;
  plan->delimiter = sieve->dialect.delimiter;
  plan->quote = sieve->dialect.quote;
  plan->field_bytes_max = csv->field_bytes_max != 0 ? csv->field_bytes_max : FIELD_BYTES;
  plan->null_values = options->null_values != NULL ? options->null_values : empty_is_null;
  plan->null_count = options->null_values != NULL ? options->null_count : 1;
  if ((signed char)plan->delimiter < 0 || (signed char)plan->quote < 0) {
    return sieve_refuse(sieve, "the delimiter or the quote is not ASCII");
  }
  if (getentropy(&seed, sizeof(seed)) != 0) return dr_fail_errno(error, "take random bytes from", "the system");
  plan->seed = seed;
  return DRAY_OK;
}

// ---- steps ----

static int32_t open_inputs(struct dr_sieve *sieve, struct dray_error *error) {
  for (int side = 0; side < 2; side++) {
    DRAY_TRY(sieve_input_open(sieve, side, error));
    const struct sieve_input *input = &sieve->inputs[side];
    const uint64_t bytes = input->size - input->data_start;
    sieve->chunk_count[side] = bytes / sieve->chunk_bytes + (bytes % sieve->chunk_bytes != 0);
    sieve->chunks[side] = calloc((size_t)sieve->chunk_count[side] + 1, sizeof(*sieve->chunks[side]));
    if (sieve->chunks[side] == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a list of chunks");
  }
  sieve->bytes_total = 2 * sieve->inputs[0].size + sieve->inputs[1].size;
  DRAY_TRY(sieve_columns_match(sieve, error));
  key_plan_finish(&sieve->plan, sieve->plan.seed);
  return DRAY_OK;
}

struct partitions {
  struct dr_sieve *sieve;
  _Atomic uint64_t settled;
};

static int32_t build_one(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct partitions *partitions = context;
  (void)slot;
  return entries_build(partitions->sieve->entries, (uint32_t)piece, thread, error);
}

static int32_t settle_one(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct partitions *partitions = context;
  uint64_t settled = 0;
  (void)slot;
  DRAY_TRY(
      entries_settle(partitions->sieve->entries, (uint32_t)piece, thread, partitions->sieve->threads, &settled, error));
  (void)atomic_fetch_add_explicit(&partitions->settled, settled, memory_order_relaxed);
  return DRAY_OK;
}

static int32_t on_partitions(struct dr_sieve *sieve,
                             int32_t (*step)(void *, uint64_t, uint32_t, uint32_t, struct dray_error *),
                             uint64_t *out_settled, struct dray_error *error) {
  struct partitions partitions = {.sieve = sieve};
  const struct lane lane = {.threads = sieve->threads,
                            .pieces = entries_partition_count(sieve->entries),
                            .context = &partitions,
                            .prepare = step};
  DRAY_TRY(lane_run(&lane, error));
  *out_settled = atomic_load_explicit(&partitions.settled, memory_order_relaxed);
  return DRAY_OK;
}

// By the length of the first records.
static int32_t guess_rows(const struct sieve_input *input, uint64_t *out, struct dray_error *error) {
  char *block = malloc(SAMPLE_BYTES);
  if (block == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", input->path);
  const uint64_t bytes = input->size - input->data_start;
  const size_t len = bytes < SAMPLE_BYTES ? (size_t)bytes : SAMPLE_BYTES;
  const int32_t rc = dr_fd_pread(input->fd, block, len, input->data_start, input->path, error);
  if (rc == DRAY_OK) *out = len > 0 ? scan_count_lines(block, len, '\0') * (bytes / len) : 0;
  free(block);
  return rc;
}

static int32_t open_rests(struct dr_sieve *sieve, uint64_t old_bytes, uint64_t new_bytes, struct dray_error *error) {
  sieve_rest_close(&sieve->rests[DR_SIEVE_OLD]);
  sieve_rest_close(&sieve->rests[DR_SIEVE_NEW]);
  DRAY_TRY(sieve_rest_open(sieve, DR_SIEVE_OLD, old_bytes, error));
  return sieve_rest_open(sieve, DR_SIEVE_NEW, new_bytes, error);
}

// Files in any order: OLD into entries, NEW against them.
static int32_t compare_by_entries(struct dr_sieve *sieve, struct dray_error *error) {
  const uint64_t memory = sieve->options->memory_bytes != 0 ? sieve->options->memory_bytes : DR_SIEVE_MEMORY_DEFAULT;
  const uint64_t rest_memory = sieve->options->rest_memory_bytes / 2;
  const uint64_t rows_max[2] = {sieve->inputs[0].size / 2 + 1, sieve->inputs[1].size / 2 + 1};
  uint64_t likely = 0, none = 0;
  DRAY_TRY(guess_rows(&sieve->inputs[0], &likely, error));
  DRAY_TRY(entries_new(memory, rows_max, likely, sieve->temp_folder, &sieve->entries, error));
  DRAY_TRY(sieve_pass_scan(sieve, DR_SIEVE_OLD, error));
  DRAY_TRY(entries_end_old(sieve->entries, &sieve->result.spilled, error));
  // NEW's rest comes while the entries are there, OLD's when they are gone.
  const uint64_t taken = entries_bytes(sieve->entries), left = taken < memory ? memory - taken : 0;
  DRAY_TRY(open_rests(sieve, rest_memory, left < rest_memory ? left : rest_memory, error));
  if (!sieve->result.spilled) DRAY_TRY(on_partitions(sieve, build_one, &none, error));
  DRAY_TRY(sieve_pass_scan(sieve, DR_SIEVE_NEW, error));
  DRAY_TRY(entries_end_new(sieve->entries, error));
  DRAY_TRY(on_partitions(sieve, settle_one, &sieve->result.unchanged, error));
  entries_drop(sieve->entries);
  if (sieve->result.spilled || entries_took_back(sieve->entries)) {
    sieve->bytes_total += sieve->inputs[1].size;
    DRAY_TRY(sieve_pass_extract(sieve, DR_SIEVE_NEW, error));
  }
  return sieve_pass_extract(sieve, DR_SIEVE_OLD, error);
}

static int32_t compare(struct dr_sieve *sieve, struct dray_error *error) {
  const uint64_t rest_memory = sieve->options->rest_memory_bytes / 2;
  DRAY_TRY(open_rests(sieve, rest_memory, rest_memory, error));
  if (!sieve->options->no_merge) DRAY_TRY(sieve_merge(sieve, &sieve->result.merged, error));
  if (!sieve->result.merged) {
    sieve_rest_close(&sieve->rests[DR_SIEVE_OLD]);
    sieve_rest_close(&sieve->rests[DR_SIEVE_NEW]);
    DRAY_TRY(compare_by_entries(sieve, error));
  }
  DRAY_TRY(sieve_input_check(&sieve->inputs[0], error));
  return sieve_input_check(&sieve->inputs[1], error);
}

static void tell_places(struct dr_sieve *sieve) {
  for (int side = 0; side < 2; side++) {
    sieve->result.sides[side].rest_path = sieve->rests[side].content.path;
    sieve->result.sides[side].rest_data = sieve->rests[side].content.memory;
  }
}

int32_t dr_sieve_rest_to_files(struct dr_sieve *sieve, struct dray_error *error) {
  int32_t rc = DRAY_OK;
  for (int side = 0; side < 2 && rc == DRAY_OK; side++) {
    rc = temp_store_to_file(&sieve->rests[side].content, sieve->rests[side].bytes, error);
  }
  tell_places(sieve);
  return rc;
}

int32_t dr_sieve_rest_to_memory(struct dr_sieve *sieve, uint64_t limit, struct dray_error *error) {
  int32_t rc = DRAY_OK;
  for (int side = 0; side < 2 && rc == DRAY_OK; side++) {
    rc = temp_store_to_memory(&sieve->rests[side].content, sieve->rests[side].bytes, limit, error);
  }
  tell_places(sieve);
  return rc;
}

static int32_t finish(struct dr_sieve *sieve, struct dray_error *error) {
  tell_places(sieve);
  for (int side = 0; side < 2; side++) {
    struct dr_sieve_side *told = &sieve->result.sides[side];
    told->rest_rows = sieve->rests[side].rows;
    told->rest_bytes = sieve->rests[side].bytes;
    told->rest_start = sieve->rests[side].start;
    if (told->rest_rows + sieve->result.unchanged == told->rows) continue;
    return dray_fail(error, DRAY_E_INTERNAL, "%llu records of %s and %llu settled ones left %llu",
                     (unsigned long long)told->rows, sieve->inputs[side].path,
                     (unsigned long long)sieve->result.unchanged, (unsigned long long)told->rest_rows);
  }
  sieve->result.sievable = 1;
  return DRAY_OK;
}

static void drop_rests(struct dr_sieve *sieve) {
  const int spilled = sieve->result.spilled;
  sieve_rest_close(&sieve->rests[0]);
  sieve_rest_close(&sieve->rests[1]);
  sieve->result.unchanged = 0;
  sieve->result.spilled = spilled;
  sieve->result.merged = 0;
  memset(sieve->result.sides, 0, sizeof(sieve->result.sides));
}

int32_t dr_sieve_run(const struct dr_sieve_options *options, struct dr_sieve **out, struct dray_error *error) {
  DRAY_TRY(check_options(options, error));
  struct dr_sieve *sieve = calloc(1, sizeof(*sieve));
  if (sieve == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to compare two files");
  sieve->options = options;
  for (int side = 0; side < 2; side++) {
    sieve->inputs[side].fd = -1;
    dray_buffer_init(&sieve->inputs[side].header, HEADER_BYTES_MAX);
    sieve->rests[side] = (struct sieve_rest){.content = TEMP_STORE_NONE, .origins = TEMP_STORE_NONE};
  }
  int32_t rc = take_options(sieve, error);
  if (rc == DRAY_OK) rc = open_inputs(sieve, error);
  if (rc == DRAY_OK) rc = compare(sieve, error);
  if (rc == DRAY_OK) rc = finish(sieve, error);
  entries_free(sieve->entries);
  sieve->entries = NULL;
  sieve->options = NULL;
  if (rc == SIEVE_REFUSED) {
    drop_rests(sieve);
    rc = DRAY_OK;
  }
  if (rc != DRAY_OK) {
    dr_sieve_free(sieve);
    return rc;
  }
  *out = sieve;
  return DRAY_OK;
}

const struct dr_sieve_result *dr_sieve_result(const struct dr_sieve *sieve) {
  return &sieve->result;
}

const char *const *dr_sieve_columns(const struct dr_sieve *sieve, size_t *out_count) {
  *out_count = sieve->inputs[0].column_count;
  return (const char *const *)sieve->inputs[0].names;
}

void dr_sieve_free(struct dr_sieve *sieve) {
  if (sieve == NULL) return;
  for (int side = 0; side < 2; side++) {
    sieve_input_close(&sieve->inputs[side]);
    sieve_rest_close(&sieve->rests[side]);
    free(sieve->chunks[side]);
  }
  free(sieve->temp_folder);
  free(sieve);
}
