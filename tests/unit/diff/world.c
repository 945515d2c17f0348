// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The small world: see world.h.
#include "world.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dray/destination.h"

// ---- making it ----

void world_set_columns(struct world *world, const char *columns) {
  struct dray_column_def defs[16];
  char text[512];
  size_t count = 0;
  char *rest = NULL;
  (void)snprintf(text, sizeof text, "%s", columns);
  for (char *part = strtok_r(text, ";", &rest); part != NULL; part = strtok_r(NULL, ";", &rest)) {
    while (*part == ' ') part++;
    char *space = strchr(part, ' ');
    assert_non_null(space);
    *space = '\0';
    defs[count].name = part;
    defs[count].nullable = 1;
    assert_ok(world, dray_type_parse(dray_str_of(space + 1), &defs[count].type, &world->error));
    count++;
  }
  dr_schema_unref(world->schema);
  world->schema = NULL;
  assert_ok(world, dr_schema_new(defs, count, &world->schema, &world->error));
}

void world_make(struct world *world, const char *columns, const char *key) {
  memset(world, 0, sizeof *world);
  dray_error_init(&world->error);
  // In memory where that can be had: these tests are about what is written, not about how long a disk takes to sync it.
  (void)snprintf(world->root, sizeof world->root, "%s/dray-diff-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  assert_non_null(mkdtemp(world->root));
  (void)snprintf(world->folder, sizeof world->folder, "%s/mirror", world->root);
  (void)snprintf(world->set_path, sizeof world->set_path, "%s/changes", world->root);
  world->seed = 42;
  world->create = 1;
  world_set_columns(world, columns);
  (void)snprintf(world->key_text, sizeof world->key_text, "%s", key);
  char *rest = NULL;
  for (char *part = strtok_r(world->key_text, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
    world->key[world->key_count++] = part;
  }
}

static void remove_files(const char *folder) {
  DIR *entries = opendir(folder);
  if (entries == NULL) return;
  for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
    (void)unlinkat(dirfd(entries), entry->d_name, 0);
  }
  (void)closedir(entries);
  (void)rmdir(folder);
}

void world_remove(struct world *world) {
  world_close(world);
  dr_schema_unref(world->schema);
  remove_files(world->folder);
  remove_files(world->root);
}

int32_t world_open(struct world *world) {
  const struct dr_mirror_options options = {.folder = world->folder,
                                            .schema = world->schema,
                                            .key = world->key,
                                            .key_count = world->key_count,
                                            .seed = world->seed,
                                            .memory_bytes = world->memory_bytes,
                                            .create = world->create,
                                            .keep = world->keep,
                                            .threads = world->threads};
  assert_null(world->mirror);
  return dr_mirror_open(&options, &world->mirror, &world->error);
}

void world_close(struct world *world) {
  dr_mirror_close(world->mirror);
  world->mirror = NULL;
}

void world_reopen(struct world *world) {
  world_close(world);
  assert_ok(world, world_open(world));
}

uint64_t world_base(struct world *world) {
  uint64_t found = 0;
  DIR *entries = opendir(world->folder);
  if (entries == NULL) return 0;
  for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
    uint64_t number = 0;
    if (sscanf(entry->d_name, "base.%" SCNu64, &number) == 1 && number > found) found = number;
  }
  (void)closedir(entries);
  return found;
}

// ---- rows ----

static void put_cells(struct world *world, struct dray_builder *builder, const char *row) {
  for (size_t i = 0; i < world->schema->field_count; i++) {
    const size_t len = strcspn(row, ",");
    const struct dray_str cell = dray_str_make(row, len);
    if (dray_str_is(cell, "\\N") || dray_str_is(cell, "?")) {
      assert_ok(world, dray_builder_null(builder, i, &world->error));
    } else if (world->schema->fields[i].type.id == DRAY_TYPE_BYTES) {
      assert_ok(world, dray_builder_bytes(builder, i, cell, &world->error));
    } else {
      assert_ok(world, dray_builder_text(builder, i, cell, &world->error));
    }
    assert_true(row[len] == ',' || i + 1 == world->schema->field_count);
    row += len + (row[len] == ',');
  }
  assert_ok(world, dray_builder_end_row(builder, NULL, &world->error));
}

static void mark_cells(struct world *world, struct dr_batch *batch, uint64_t at, const char *row) {
  if (*row == '!') {
    batch->deleted[at >> 3] |= (uint8_t)(1u << (at & 7));
    row++;
  }
  for (size_t i = 0; i < world->schema->field_count; i++) {
    const size_t len = strcspn(row, ",");
    if (len == 1 && *row == '?') assert_ok(world, dr_batch_set_absent(batch, i, at, &world->error));
    row += len + (row[len] == ',');
  }
}

struct dr_batch *world_batch(struct world *world, const char *const *rows, size_t row_count) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  assert_ok(world, dray_builder_new(&world->schema->arrow, UINT64_MAX, UINT64_MAX, &builder, &world->error));
  for (size_t i = 0; i < row_count; i++) put_cells(world, builder, rows[i] + (*rows[i] == '!'));
  assert_ok(world, dray_builder_finish(builder, &array, &world->error));
  assert_ok(world, dr_batch_wrap(world->schema, &array, &batch, &world->error));
  batch->deleted = calloc(row_count / 8 + 1, 1);
  assert_non_null(batch->deleted);
  for (size_t i = 0; i < row_count; i++) mark_cells(world, batch, i, rows[i]);
  dray_builder_free(builder);
  return batch;
}

// ---- passes ----

static int32_t add_rows(struct world *world, struct dr_diff *diff, const struct world_pass *pass,
                        const char *const *rows) {
  size_t count = 0;
  while (rows[count] != NULL) count++;
  const size_t step = pass->batch_rows != 0 ? pass->batch_rows : count;
  for (size_t at = 0; at < count; at += step) {
    struct dr_batch *batch = world_batch(world, rows + at, count - at < step ? count - at : step);
    const int32_t rc = dr_diff_add(diff, batch, &world->error);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

int32_t world_try(struct world *world, const struct world_pass *pass, const char *const *rows) {
  const struct dr_diff_options options = {.flags = pass->flags,
                                          .duplicates = pass->duplicates,
                                          .order_column = pass->order_column,
                                          .unsaid = pass->unsaid,
                                          .changeset_path = world->set_path};
  struct dr_diff *diff = NULL;
  int32_t rc = dr_diff_begin(world->mirror, &options, &diff, &world->error);
  if (rc != DRAY_OK) return rc;
  rc = add_rows(world, diff, pass, rows);
  if (pass->not_full) dr_diff_not_full(diff);
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, &world->counts, &world->error);
  if (rc == DRAY_OK) {
    memcpy(world->column_updates, world->counts.column_updates, world->schema->field_count * sizeof(uint64_t));
    world->counts.column_updates = NULL;
  }
  dr_diff_free(diff);
  return rc;
}

static void put_row(struct dray_buffer *out, const struct dr_batch *batch, uint64_t row) {
  for (size_t i = 0; i < batch->schema->field_count; i++) {
    if (i > 0) assert_int_equal(dray_buffer_append_char(out, ',', NULL), DRAY_OK);
    const struct dray_column_view *column = &batch->view.columns[i];
    int32_t rc = DRAY_OK;
    if (dr_batch_is_absent(batch, i, row)) {
      rc = dray_buffer_append_char(out, '?', NULL);
    } else if (dray_column_is_null(column, row)) {
      rc = dray_buffer_append_str(out, "\\N", NULL);
    } else if (column->type.id == DRAY_TYPE_BYTES) {
      const struct dray_str value = dray_column_bytes(column, row);
      rc = dray_buffer_append(out, value.data, (size_t)value.len, NULL);
    } else {
      rc = dray_column_text(column, row, out, NULL);
    }
    assert_int_equal(rc, DRAY_OK);
  }
}

static void put_changed(struct dray_buffer *out, const struct dr_changes *changes, size_t i) {
  const uint8_t *bits = changes->changed + i * changes->changed_stride;
  int first = 1;
  assert_int_equal(dray_buffer_append_str(out, " [", NULL), DRAY_OK);
  for (size_t field = 0; field < changes->rows->schema->field_count; field++) {
    if ((bits[field >> 3] >> (field & 7) & 1) == 0) continue;
    assert_int_equal(dray_buffer_printf(out, NULL, "%s%s", first ? "" : ",", changes->rows->schema->fields[field].name),
                     DRAY_OK);
    first = 0;
  }
  assert_int_equal(dray_buffer_append_char(out, ']', NULL), DRAY_OK);
}

static void put_change(struct dray_buffer *out, const struct dr_changes *changes, size_t i) {
  const uint8_t op = changes->op[i];
  const char sign = op == DRAY_OP_INSERT ? '+' : op == DRAY_OP_UPDATE ? '~' : op == DRAY_OP_DELETE ? '-' : 'x';
  assert_int_equal(dray_buffer_printf(out, NULL, "%c ", sign), DRAY_OK);
  put_row(out, changes->rows, i);
  if (op == DRAY_OP_UPDATE && changes->before != NULL) {
    assert_int_equal(dray_buffer_append_str(out, " <- ", NULL), DRAY_OK);
    put_row(out, changes->before, i);
  }
  if (op == DRAY_OP_UPDATE) put_changed(out, changes, i);
  if (op == DR_OP_REJECT) {
    assert_int_equal(dray_buffer_printf(out, NULL, " %s", dray_error_info(changes->code[i])->name), DRAY_OK);
  }
  assert_int_equal(dray_buffer_append_char(out, '\n', NULL), DRAY_OK);
}

const char *world_read(struct world *world, int with_before) {
  struct dr_changeset *set = NULL;
  struct dray_buffer out;
  uint64_t seq = 0;
  dray_buffer_init(&out, sizeof world->report - 1);
  assert_ok(world, dr_changeset_open(world->set_path, &set, &world->error));
  for (;;) {
    struct dr_changes *changes = NULL;
    assert_ok(world, dr_changeset_next(set, seq, 1000, 1u << 20, with_before, &changes, &world->error));
    if (changes == NULL) break;
    assert_int_equal(changes->first_seq, seq);
    assert_true(changes->count > 0);
    for (size_t i = 0; i < changes->count; i++) put_change(&out, changes, i);
    seq += changes->count;
    dr_changes_free(changes);
  }
  assert_int_equal(seq, dr_changeset_count(set));
  (void)snprintf(world->report, sizeof world->report, "%s", out.len > 0 ? out.data : "");
  dray_buffer_free(&out);
  dr_changeset_close(set);
  return world->report;
}

const char *world_run(struct world *world, const struct world_pass *pass, const char *const *rows) {
  static const struct world_pass plain = {0};
  if (pass == NULL) pass = &plain;
  assert_ok(world, world_try(world, pass, rows));
  return world_read(world, pass->with_before);
}

// ---- acknowledging ----

static int wanted(const int *seqs, uint64_t seq) {
  for (size_t i = 0; seqs != NULL && seqs[i] >= 0; i++) {
    if ((uint64_t)seqs[i] == seq) return 1;
  }
  return seqs == NULL;
}

int32_t world_ack(struct world *world, const int *seqs) {
  struct dr_changeset *set = NULL;
  int32_t rc = dr_changeset_open(world->set_path, &set, &world->error);
  uint64_t seq = 0;
  while (rc == DRAY_OK) {
    struct dr_changes *changes = NULL;
    rc = dr_changeset_next(set, seq, 100, 1u << 20, 0, &changes, &world->error);
    if (rc != DRAY_OK || changes == NULL) break;
    uint8_t *acked = calloc(changes->count, 1);
    assert_non_null(acked);
    for (size_t i = 0; i < changes->count; i++) {
      acked[i] = changes->op[i] != DR_OP_REJECT && wanted(seqs, seq + i);
    }
    rc = dr_mirror_ack(world->mirror, changes, acked, &world->error);
    seq += changes->count;
    free(acked);
    dr_changes_free(changes);
  }
  dr_changeset_close(set);
  return rc;
}

void world_commit(struct world *world, uint64_t generation) {
  assert_ok(world, dr_mirror_commit(world->mirror, generation, &world->error));
}

void world_load(struct world *world, uint64_t generation, const char *const *rows) {
  const struct world_pass pass = {.flags = DR_DIFF_FULL};
  (void)world_run(world, &pass, rows);
  assert_ok(world, world_ack(world, NULL));
  world_commit(world, generation);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *world_held(struct world *world) {
  static char text[65536];
  const struct world_pass pass = {.flags = DR_DIFF_FULL};
  char *lines[1024];
  size_t count = 0;
  char *rest = NULL;
  (void)snprintf(text, sizeof text, "%s", world_run(world, &pass, NO_ROWS));
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    assert_true(count < 1024 && line[0] == '-');
    lines[count++] = line + 2;
  }
  qsort(lines, count, sizeof *lines, by_text);
  size_t len = 0;
  world->report[0] = '\0';
  for (size_t i = 0; i < count; i++) {
    len += (size_t)snprintf(world->report + len, sizeof world->report - len, "%s\n", lines[i]);
  }
  return world->report;
}
