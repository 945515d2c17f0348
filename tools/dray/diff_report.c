// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The outcome of a comparison for people, and the same as objects with --json.
#include <stdlib.h>
#include <string.h>

#include "diff_out.h"
#include "report.h"
#include "watched.h"

#define VALUE_CHARS_MAX 60
#define TEXT_BYTES_MAX (1u << 20)
#define TEXT_CHARS_WISHED 300
#define OPS 3
#define BROKEN_TEXT                                                                                                    \
  "the key of a record that cannot be read is not known: its row of the other side may be told as added or removed"
#define NAME_BYTES (DRAY_COLUMN_NAME_MAX + 1)

static const int ops[OPS] = {DRAY_OP_INSERT, DRAY_OP_UPDATE, DRAY_OP_DELETE};

static uint64_t rows_read(const struct dr_compare *compare) {
  return compare->sides[DR_COMPARE_OLD].rows + compare->sides[DR_COMPARE_NEW].rows;
}

static const char *key_word(uint64_t count) {
  return count == 1 ? " key" : " keys";
}

static const char *row_word(uint64_t count) {
  return count == 1 ? " row" : " rows";
}

// A record that cannot be read may have been any row.
static int has_broken(const struct dr_compare *compare) {
  return compare->sides[DR_COMPARE_OLD].broken + compare->sides[DR_COMPARE_NEW].broken > 0;
}

// Rows of a side that are named among the notes.
static uint64_t noted_rows(const struct dr_diff_report *report, int side) {
  const struct dr_compare_side *from = &report->compare->sides[side];
  const int rejects = report->options->duplicates == DR_DUPLICATES_REJECT;
  return from->unreadable + from->null_keys + (rejects ? from->duplicate_rows : 0);
}

// ---- objects ----

static void write_side(struct dr_record *record, const char *name, const struct dr_compare_side *side) {
  const struct {
    const char *name;
    uint64_t value;
  } counts[] = {{"rows", side->rows},
                {"unreadable", side->unreadable},
                {"null_keys", side->null_keys},
                {"duplicate_keys", side->duplicate_keys},
                {"duplicate_rows", side->duplicate_rows},
                {"opposite_duplicates", side->opposite}};
  dray_json_key(&record->json, name);
  dray_json_begin_object(&record->json);
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    dr_record_count(record, counts[i].name, counts[i].value);
  }
  dray_json_key(&record->json, "only_here");
  dray_json_begin_array(&record->json);
  for (size_t i = 0; i < side->only.count; i++) dray_json_write_text(&record->json, side->only.items[i]);
  dray_json_end_array(&record->json);
  dray_json_end_object(&record->json);
}

void dr_diff_summary(struct dr_output *output, const struct dr_diff_report *report) {
  const struct dr_compare *compare = report->compare;
  const struct dr_compare_counts *counts = &compare->counts;
  struct dr_record record;
  dr_record_begin(&record, output, "diff");
  dr_record_text(&record, "old", report->options->places[DR_COMPARE_OLD]);
  dr_record_text(&record, "new", report->options->places[DR_COMPARE_NEW]);
  dr_record_bool(&record, "equal", dr_compare_is_equal(compare) && !dr_compare_is_partial(compare));
  dr_record_count(&record, "inserts", counts->inserts);
  dr_record_count(&record, "updates", counts->updates);
  dr_record_count(&record, "deletes", counts->deletes);
  dr_record_count(&record, "unchanged", counts->unchanged);
  dr_record_count(&record, "deferred", counts->deferred);
  dray_json_key(&record.json, "changed_columns");
  dray_json_begin_object(&record.json);
  for (size_t i = 0; compare->schema != NULL && i < compare->schema->field_count; i++) {
    if (counts->column_updates[i] > 0) {
      dr_record_count(&record, compare->schema->fields[i].name, counts->column_updates[i]);
    }
  }
  dray_json_end_object(&record.json);
  write_side(&record, "old_side", &compare->sides[DR_COMPARE_OLD]);
  write_side(&record, "new_side", &compare->sides[DR_COMPARE_NEW]);
  dr_record_count(&record, "spilled_bytes", counts->spilled_bytes);
  dr_record_int(&record, "total_ms", report->took_ms);
  dr_record_end(&record);
}

void dr_diff_note(struct dr_output *output, const struct dr_diff_report *report) {
  const struct dr_compare *compare = report->compare;
  const struct dr_compare_counts *counts = &compare->counts;
  char inserts[32], updates[32], deletes[32], unchanged[32], time[32];
  dr_note(output, "%s added, %s changed, %s removed, %s unchanged (%s)\n", dr_thousands(counts->inserts, inserts),
          dr_thousands(counts->updates, updates), dr_thousands(counts->deletes, deletes),
          dr_thousands(counts->unchanged, unchanged), dr_duration_text(report->took_ms, time));
  for (int side = 0; side < 2; side++) {
    const struct dr_compare_side *from = &compare->sides[side];
    for (size_t i = 0; i < from->only.count; i++) {
      dr_note(output, "only %s has the column %s\n", side == DR_COMPARE_OLD ? "OLD" : "NEW", from->only.items[i]);
    }
  }
  if (!dr_compare_is_partial(compare)) return;
  uint64_t withheld = counts->deferred;
  for (int side = 0; side < 2; side++) {
    withheld += noted_rows(report, side) + compare->sides[side].opposite;
  }
  dr_note(output, "%s%s could not be compared: --format text shows why\n", dr_thousands(withheld, inserts),
          row_word(withheld));
  if (has_broken(compare)) dr_note(output, "%s\n", BROKEN_TEXT);
}

// ---- samples ----

// Appends a value, shortened.
static int32_t append_value(struct dray_buffer *out, struct dray_str text, struct dray_error *error) {
  if (text.data == NULL) return dray_buffer_append_str(out, "null", error);
  size_t n = (size_t)text.len;
  if (n > VALUE_CHARS_MAX) {
    n = VALUE_CHARS_MAX;
    while (n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) n--; // not inside a character
  }
  if (text.len == 0) return dray_buffer_append_str(out, "\"\"", error);
  DRAY_TRY(dray_buffer_append(out, text.data, n, error));
  return n < text.len ? dray_buffer_append_str(out, "...", error) : DRAY_OK;
}

static const struct dray_str *row_of(const struct dr_compare_change *change) {
  return change->after != NULL ? change->after : change->before;
}

static int32_t describe_key(const struct dr_compare *compare, const struct dr_compare_change *change,
                            struct dray_buffer *out, struct dray_error *error) {
  int first = 1;
  for (size_t c = 0; c < compare->schema->field_count; c++) {
    if (!compare->is_key[c]) continue;
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s=", first ? "" : ", ", compare->schema->fields[c].name));
    DRAY_TRY(append_value(out, row_of(change)[c], error));
    first = 0;
  }
  return DRAY_OK;
}

static int32_t describe(const struct dr_compare *compare, const struct dr_compare_change *change,
                        struct dray_buffer *out, struct dray_error *error) {
  const int update = change->op == DRAY_OP_UPDATE;
  int first = 1;
  for (size_t c = 0; c < compare->schema->field_count; c++) {
    if (update ? ((change->changed[c >> 3] >> (c & 7)) & 1) == 0 : compare->is_key[c]) continue;
    if (out->len >= TEXT_CHARS_WISHED) return dray_buffer_append_str(out, ", ...", error);
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s: ", first ? "" : ", ", compare->schema->fields[c].name));
    first = 0;
    if (update) {
      DRAY_TRY(append_value(out, change->before[c], error));
      DRAY_TRY(dray_buffer_append_str(out, " -> ", error));
    }
    DRAY_TRY(append_value(out, row_of(change)[c], error));
  }
  return DRAY_OK;
}

// A cell must neither move the terminal's cursor nor forge a line.
static void make_plain(struct dray_buffer *text) {
  for (size_t i = 0; i < text->len; i++) {
    if ((unsigned char)text->data[i] < 0x20 || text->data[i] == 0x7F) text->data[i] = ' ';
  }
}

struct sampling {
  struct dr_output *output;
  const struct dr_compare *compare;
  uint64_t shown;
};

static int32_t print_change(void *context, const struct dr_compare_change *change, struct dray_buffer *out,
                            struct dray_buffer *scratch, struct dray_error *error) {
  struct sampling *sampling = context;
  struct dr_output *output = sampling->output;
  const struct dr_compare *compare = sampling->compare;
  struct dray_buffer key, text;
  dray_buffer_init(&key, TEXT_BYTES_MAX);
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  (void)out, (void)scratch;
  int32_t rc = describe_key(compare, change, &key, error);
  if (rc == DRAY_OK) rc = describe(compare, change, &text, error);
  make_plain(&key);
  make_plain(&text);
  const char *shown = text.len > 0 ? text.data : "";
  if (rc == DRAY_OK && output->json) {
    struct dr_record record;
    dr_record_begin(&record, output, "sample");
    dr_record_text(&record, "op", dr_report_op(change->op));
    dr_record_text(&record, "key", key.data);
    dr_record_text(&record, "text", shown);
    dr_record_end(&record);
  } else if (rc == DRAY_OK) {
    dr_report_change(output, change->op, key.data, 0, shown);
  }
  dray_buffer_free(&key);
  dray_buffer_free(&text);
  sampling->shown++;
  return rc;
}

static int take_nothing(void *context, struct dray_buffer *text) {
  const struct sampling *sampling = context;
  (void)text;
  return sampling->output->failed == 0;
}

// The changes of one kind, up to the limit, with a word on how many there are besides.
static int32_t print_kind(struct dr_output *output, const struct dr_diff_report *report, int op, uint64_t there,
                          struct dray_error *error) {
  struct sampling sampling = {output, report->compare, 0};
  const struct dr_compare_teller teller = {print_change, take_nothing, &sampling, (unsigned)op, report->limit};
  char number[32];
  if (report->limit == 0 || there == 0) return DRAY_OK;
  DRAY_TRY(dr_compare_tell(report->compare, &teller, error));
  if (sampling.shown > 0 && sampling.shown < there && !output->json) {
    dr_print(output, "      and %s more\n", dr_thousands(there - sampling.shown, number));
  }
  return DRAY_OK;
}

// ---- what was withheld ----

static void print_withheld(struct dr_output *output, const struct dr_diff_report *report, int side) {
  const struct dr_compare_side *from = &report->compare->sides[side];
  const char *name = side == DR_COMPARE_OLD ? "OLD" : "NEW";
  const char *policy =
      report->options->duplicates == DR_DUPLICATES_FIRST ? "the first of them was taken" : "the last of them was taken";
  char a[32], b[32];
  const uint64_t misfits = from->unreadable - from->broken;
  if (from->broken > 0) {
    dr_print(output, "  ! %s: %s%s could not be read\n", name, dr_thousands(from->broken, a), row_word(from->broken));
  }
  if (misfits > 0) {
    dr_print(output, "  ! %s: %s%s with a value that is not of its declared type\n", name, dr_thousands(misfits, a),
             row_word(misfits));
  }
  if (from->null_keys > 0) {
    dr_print(output, "  ! %s: %s%s without a key\n", name, dr_thousands(from->null_keys, a), row_word(from->null_keys));
  }
  if (from->duplicate_keys > 0 && report->options->duplicates == DR_DUPLICATES_REJECT) {
    dr_print(output, "  ! %s: %s%s came more than once: %s%s withheld\n", name, dr_thousands(from->duplicate_keys, a),
             key_word(from->duplicate_keys), dr_thousands(from->duplicate_rows, b), row_word(from->duplicate_rows));
  } else if (from->duplicate_keys > 0) {
    dr_print(output, "    %s: %s%s came more than once: %s\n", name, dr_thousands(from->duplicate_keys, a),
             key_word(from->duplicate_keys), policy);
  }
  if (from->opposite > 0) {
    dr_print(output, "  ! %s: %s%s withheld, since %s has the key more than once\n", name,
             dr_thousands(from->opposite, a), row_word(from->opposite), side == DR_COMPARE_OLD ? "NEW" : "OLD");
  }
}

// A column's name: from a file's header, so that it may hold anything. Into a buffer of NAME_BYTES.
static const char *plain_name(const char *name, char *out) {
  (void)snprintf(out, NAME_BYTES, "%s", name);
  for (char *at = out; *at != '\0'; at++) {
    if ((unsigned char)*at < 0x20 || *at == 0x7F) *at = ' ';
  }
  return out;
}

// "id, v" has a column " v": nobody sees the blank without quotes.
static int has_blank_end(const char *name) {
  const size_t len = strlen(name);
  return len == 0 || name[0] == ' ' || name[len - 1] == ' ';
}

static void print_only(struct dr_output *output, const struct dr_compare *compare, int side) {
  const struct dr_compare_names *only = &compare->sides[side].only;
  if (only->count == 0) return;
  dr_print(output, "  columns only in %s, not compared:", side == DR_COMPARE_OLD ? "OLD" : "NEW");
  for (size_t i = 0; i < only->count; i++) {
    char name[NAME_BYTES];
    const char *quote = has_blank_end(plain_name(only->items[i], name)) ? "\"" : "";
    dr_print(output, "%s %s%s%s", i > 0 ? "," : "", quote, name, quote);
  }
  dr_print(output, "\n");
}

static void print_note(struct dr_output *output, const struct dr_compare_note *note) {
  const char *name = note->side == DR_COMPARE_OLD ? "OLD" : "NEW";
  if (!output->json) {
    dr_report_change(output, DR_OP_REJECT, name, note->code, note->text);
    return;
  }
  struct dr_record record;
  dr_record_begin(&record, output, "withheld");
  dr_record_text(&record, "side", name);
  dr_record_text(&record, "error", dray_error_info(note->code)->name);
  dr_record_text(&record, "text", note->text);
  dr_record_end(&record);
}

// Notes before the one at `end` that are of its side and code.
static uint64_t alike_before(const struct dr_compare *compare, size_t end) {
  uint64_t alike = 0;
  for (size_t i = 0; i < end; i++) {
    alike += compare->notes[i].side == compare->notes[end].side && compare->notes[i].code == compare->notes[end].code;
  }
  return alike;
}

// Of one side: of each reason up to the limit, with a word on how many there are besides.
static void print_notes(struct dr_output *output, const struct dr_diff_report *report, int side) {
  const struct dr_compare *compare = report->compare;
  const uint64_t there = noted_rows(report, side);
  uint64_t shown = 0;
  char number[32];
  for (size_t i = 0; i < compare->note_count; i++) {
    const struct dr_compare_note *note = &compare->notes[i];
    if (note->side != side || alike_before(compare, i) >= report->limit) continue;
    if (report->options->duplicates != DR_DUPLICATES_REJECT && note->code == DRAY_E_DATA_KEY_DUPLICATE) continue;
    print_note(output, note);
    shown++;
  }
  if (shown > 0 && shown < there && !output->json) {
    dr_print(output, "      and %s more of %s\n", dr_thousands(there - shown, number),
             side == DR_COMPARE_OLD ? "OLD" : "NEW");
  }
}

// ---- the whole ----

static int32_t print_changed_columns(struct dr_output *output, const struct dr_compare *compare,
                                     struct dray_error *error) {
  const size_t count = compare->schema != NULL ? compare->schema->field_count : 0;
  struct dr_report_column *columns = calloc(count + 1, sizeof(*columns));
  char *names = malloc(count * NAME_BYTES + 1);
  int32_t rc = DRAY_OK;
  if (columns != NULL && names != NULL) {
    for (size_t i = 0; i < count; i++) {
      columns[i].name = plain_name(compare->schema->fields[i].name, names + i * NAME_BYTES);
      columns[i].count = compare->counts.column_updates[i];
    }
    dr_report_columns(output, columns, count);
  } else {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a report");
  }
  free(columns);
  free(names);
  return rc;
}

static int32_t print_counts(struct dr_output *output, const struct dr_diff_report *report, struct dray_error *error) {
  const struct dr_compare *compare = report->compare;
  const struct dr_compare_counts *counts = &compare->counts;
  char number[32], second[32];
  dr_print(output, "%s%s -> %s%s\n", dr_style(output, DR_STYLE_BOLD), report->options->places[DR_COMPARE_OLD],
           report->options->places[DR_COMPARE_NEW], dr_style(output, DR_STYLE_RESET));
  dr_print(output, "  + %s added\n", dr_thousands(counts->inserts, number));
  dr_print(output, "  ~ %s changed\n", dr_thousands(counts->updates, number));
  DRAY_TRY(print_changed_columns(output, compare, error));
  dr_print(output, "  - %s removed\n", dr_thousands(counts->deletes, number));
  dr_print(output, "  = %s unchanged\n", dr_thousands(counts->unchanged, number));
  for (int side = 0; side < 2; side++) print_only(output, compare, side);
  for (int side = 0; side < 2; side++) print_withheld(output, report, side);
  if (counts->deferred > 0) {
    dr_print(output, "  ! %s%s could not be told apart with this memory: raise --memory\n",
             dr_thousands(counts->deferred, number), key_word(counts->deferred));
  }
  if (has_broken(compare)) dr_print(output, "    %s\n", BROKEN_TEXT);
  dr_print(output, "  cost: %s rows read in %s", dr_thousands(rows_read(compare), number),
           dr_duration_text(report->took_ms, second));
  dr_print(output, ", %s spilled\n", dr_bytes_text(counts->spilled_bytes, number));
  return DRAY_OK;
}

int32_t dr_diff_print(struct dr_output *output, const struct dr_diff_report *report, struct dray_error *error) {
  const struct dr_compare_counts *counts = &report->compare->counts;
  const uint64_t there[OPS] = {counts->inserts, counts->updates, counts->deletes};
  if (output->json) {
    dr_diff_summary(output, report);
  } else {
    DRAY_TRY(print_counts(output, report, error));
  }
  if (report->summary) return DRAY_OK;
  for (int i = 0; i < OPS; i++) DRAY_TRY(print_kind(output, report, ops[i], there[i], error));
  for (int side = 0; side < 2; side++) print_notes(output, report, side);
  return DRAY_OK;
}
