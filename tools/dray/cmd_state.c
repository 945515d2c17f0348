// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray state`: what a sync has reached, and the ways out when it cannot be believed.
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "sync/state.h"
#include "watched.h"

struct request {
  const struct dr_sync *sync;
  int32_t (*work)(struct dr_watched *watched, const struct dr_sync *sync, struct dray_error *error);
};

static int32_t run_one(struct dr_watched *watched) {
  const struct request *request = watched->ctx;
  struct dray_error error;
  dray_error_init(&error);
  if (request->work(watched, request->sync, &error) == DRAY_OK) return DR_EXIT_DONE;
  return dr_watched_error(watched, &error);
}

// Runs `work` for the syncs named. What changes state asks for --yes where nobody can be asked.
static int32_t for_each(struct dr_command_call *call, int all, int careful,
                        int32_t (*work)(struct dr_watched *, const struct dr_sync *, struct dray_error *)) {
  struct dr_project *project = NULL;
  size_t *chosen = NULL;
  size_t count = 0;
  if (careful && dr_option(call, "yes") == NULL) {
    return dr_usage(call, NULL, "`%s` changes what dray believes of the other side: add --yes", call->name);
  }
  int32_t code = dr_command_project(call, &project);
  if (code != 0) return code;
  code = dr_command_syncs(call, project, all, &chosen, &count);
  if (code == 0 && count == 0) code = dr_usage(call, NULL, "name a sync");
  if (code == 0) {
    for (size_t i = 0; i < count; i++) {
      struct request request = {&project->syncs[chosen[i]], work};
      code = dr_report_worse(code, dr_watched_run(call, project, request.sync->name, run_one, &request));
    }
  }
  free(chosen);
  dr_project_free(project);
  return code;
}

// ---- show ----

// What the mirror holds of a row, as the config spells it.
static const char *keep_text(int keep) {
  return keep == DR_KEEP_ROW ? "row" : keep == DR_KEEP_COLUMNS ? "columns" : "key";
}

static void print_view(struct dr_output *output, const char *sync, const struct dr_state_view *view) {
  char a[32], b[32], c[32];
  dr_print(output, "%s\n", sync);
  dr_print(output, "  generation   %s\n", dr_thousands(view->generation, a));
  if (!view->mirror_exists) {
    const int missing = view->generation > 0 && !view->ingest;
    dr_print(output, "  mirror       none%s\n", missing ? " (missing!)" : "");
    if (missing) dr_print(output, "  way out      %s\n", dray_error_info(DRAY_E_MIRROR_MISSING)->fix);
  } else if (view->mirror_code != DRAY_OK) {
    dr_print(output, "  mirror       %s: %s\n", dray_error_info(view->mirror_code)->name, view->mirror_text);
    dr_print(output, "  way out      %s\n", dray_error_info(view->mirror_code)->fix);
  } else {
    dr_print(output, "  mirror       %s rows, generation %s, %s, verified; keeps %s\n",
             dr_thousands(view->mirror.rows, a), dr_thousands(view->mirror.generation, b),
             dr_bytes_text(view->mirror.base_bytes + view->mirror.journal_bytes, c), keep_text(view->mirror.keep));
  }
  if (view->checkpoint_bytes > 0) {
    dr_print(output, "  checkpoint   %s%s\n", view->checkpoint[0] != '\0' ? view->checkpoint : "(binary) ",
             view->checkpoint[0] != '\0' ? "" : dr_bytes_text(view->checkpoint_bytes, a));
  }
  if (view->identity[0] != '\0') dr_print(output, "  sent to      %s\n", view->identity);
  if (view->snapshot[0] != '\0') {
    dr_print(output, "  snapshot     dray.%s, in the warehouse of the model\n", view->snapshot);
  }
  dr_print(output, "  not taken    %s rows, %s parked\n", dr_thousands(view->rejected, a),
           dr_thousands(view->parked, b));
  if (view->open_batches > 0) dr_print(output, "  open batches %s\n", dr_thousands(view->open_batches, a));
}

static void write_view(struct dr_output *output, const char *sync, const struct dr_state_view *view) {
  struct dr_record record;
  dr_record_begin(&record, output, "state");
  dr_record_text(&record, "sync", sync);
  dr_record_count(&record, "generation", view->generation);
  dr_record_bool(&record, "mirror", view->mirror_exists);
  dr_record_text(&record, "mirror_error",
                 view->mirror_code != DRAY_OK ? dray_error_info(view->mirror_code)->name : NULL);
  dr_record_text(&record, "mirror_text", view->mirror_code != DRAY_OK ? view->mirror_text : NULL);
  dr_record_count(&record, "mirror_rows", view->mirror.rows);
  dr_record_text(&record, "mirror_keeps", view->mirror_exists ? keep_text(view->mirror.keep) : NULL);
  dr_record_count(&record, "mirror_generation", view->mirror.generation);
  dr_record_count(&record, "mirror_bytes", view->mirror.base_bytes + view->mirror.journal_bytes);
  dr_record_text(&record, "checkpoint", view->checkpoint[0] != '\0' ? view->checkpoint : NULL);
  dr_record_text(&record, "snapshot", view->snapshot[0] != '\0' ? view->snapshot : NULL);
  dr_record_count(&record, "rejected", view->rejected);
  dr_record_count(&record, "parked", view->parked);
  dr_record_count(&record, "open_batches", view->open_batches);
  dr_record_end(&record);
}

static int32_t show(struct dr_watched *watched, const struct dr_sync *sync, struct dray_error *error) {
  struct dr_state_view view;
  DRAY_TRY(dr_state_show(watched->session, sync, &view, error));
  if (watched->call->output->json) {
    write_view(watched->call->output, sync->name, &view);
  } else {
    print_view(watched->call->output, sync->name, &view);
  }
  return DRAY_OK;
}

int32_t cmd_state_show(struct dr_command_call *call) {
  return for_each(call, 1, 0, show);
}

// ---- verify ----

#define VERIFY_SAMPLES 5

// Where they differ: + in the table only, ~ mirror -> table, - in the mirror only.
static void tell_rows(struct dr_output *output, const struct dr_sync *sync,
                      const struct dr_state_comparison *comparison) {
  for (size_t i = 0; i < comparison->sample_count; i++) {
    const struct dr_sample *sample = &comparison->samples[i];
    const char *where = sample->op == DRAY_OP_INSERT ? "table" : sample->op == DRAY_OP_DELETE ? "mirror" : "both";
    if (sample->op == DRAY_OP_INSERT && comparison->table_only == 0) continue; // of others
    if (!output->json) {
      dr_report_change(output, sample->op, sample->key, sample->code, sample->text);
      continue;
    }
    struct dr_record record;
    dr_record_begin(&record, output, "difference");
    dr_record_text(&record, "sync", sync->name);
    dr_record_text(&record, "in", where);
    dr_record_text(&record, "key", sample->key);
    dr_record_text(&record, "text", sample->text);
    dr_record_end(&record);
  }
}

static void write_comparison(struct dr_output *output, const char *sync, const struct dr_state_comparison *comparison) {
  struct dr_record record;
  dr_record_begin(&record, output, "verify");
  dr_record_text(&record, "sync", sync);
  dr_record_bool(&record, "compared", comparison->compared);
  dr_record_count(&record, "table_only", comparison->table_only);
  dr_record_count(&record, "mirror_only", comparison->mirror_only);
  dr_record_count(&record, "different", comparison->different);
  dr_record_count(&record, "others", comparison->others);
  dr_record_count(&record, "unknown", comparison->unknown);
  dr_record_end(&record);
}

static void print_comparison(struct dr_output *output, const char *sync, const struct dr_state_comparison *comparison,
                             uint64_t apart) {
  char number[32];
  if (!comparison->mirrored) {
    dr_print(output, "%s: there is no mirror, and nothing to compare: its rows go straight into the table\n", sync);
  } else if (!comparison->compared) {
    dr_print(output, "%s: the mirror's files are whole\n", sync);
  } else if (apart == 0) {
    dr_print(output, "%s: the mirror's files are whole and equal to the table\n", sync);
  }
  if (comparison->others > 0) {
    dr_print(output, "  %s rows more are in the table, which sync %s writes as well\n",
             dr_thousands(comparison->others, number), comparison->sharer);
  }
  if (comparison->unknown > 0) {
    dr_print(output, "  of %s rows the mirror has the key alone, until they are sent again\n",
             dr_thousands(comparison->unknown, number));
  }
}

static int32_t verify(struct dr_watched *watched, const struct dr_sync *sync, struct dray_error *error) {
  struct dr_output *output = watched->call->output;
  struct dr_state_comparison comparison;
  DRAY_TRY(dr_state_verify(watched->session, sync, VERIFY_SAMPLES, &comparison, error));
  const uint64_t apart = comparison.table_only + comparison.mirror_only + comparison.different;
  if (output->json) {
    write_comparison(output, sync->name, &comparison);
  } else {
    print_comparison(output, sync->name, &comparison, apart);
  }
  tell_rows(output, sync, &comparison);
  int32_t rc = DRAY_OK;
  if (apart > 0) {
    rc = dray_fail(error, DRAY_E_MIRROR_CORRUPT,
                   "%s: %llu rows stand in the table only, %llu in the mirror only, %llu differ%s%s", sync->name,
                   (unsigned long long)comparison.table_only, (unsigned long long)comparison.mirror_only,
                   (unsigned long long)comparison.different,
                   comparison.sharer != NULL ? "; the table is also written by sync " : "",
                   comparison.sharer != NULL ? comparison.sharer : "");
  }
  dr_state_comparison_free(&comparison);
  return rc;
}

int32_t cmd_state_verify(struct dr_command_call *call) {
  return for_each(call, 1, 0, verify);
}

// ---- the ways out ----

static int32_t reset(struct dr_watched *watched, const struct dr_sync *sync, struct dray_error *error) {
  DRAY_TRY(dr_state_reset(watched->session, sync, error));
  dr_note(watched->call->output, "%s: forgotten; the next run starts from the beginning\n", sync->name);
  return DRAY_OK;
}

int32_t cmd_state_reset(struct dr_command_call *call) {
  return for_each(call, 0, 1, reset);
}

static int32_t rebuild(struct dr_watched *watched, const struct dr_sync *sync, struct dray_error *error) {
  uint64_t rows = 0;
  char number[32];
  DRAY_TRY(dr_state_rebuild(watched->session, sync, &rows, error));
  dr_note(watched->call->output, "%s: the mirror holds the table's %s rows\n", sync->name, dr_thousands(rows, number));
  return DRAY_OK;
}

int32_t cmd_state_rebuild(struct dr_command_call *call) {
  return for_each(call, 0, 1, rebuild);
}

static int32_t baseline(struct dr_watched *watched, const struct dr_sync *sync, struct dray_error *error) {
  const struct dr_run_options options = {.flags = DR_RUN_BASELINE};
  struct dr_run_report report;
  char number[32];
  const int32_t rc = dr_run(watched->session, sync, &options, &report);
  if (rc == DRAY_OK) {
    dr_note(watched->call->output, "%s: the mirror holds %s rows as if they had been sent\n", sync->name,
            dr_thousands(report.mirror_rows, number));
  } else {
    *error = report.error;
  }
  dr_run_report_free(&report);
  return rc;
}

int32_t cmd_state_baseline(struct dr_command_call *call) {
  return for_each(call, 0, 1, baseline);
}
