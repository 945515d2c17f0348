// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray sync` and `dray plan`: the same run, with and without the sending; and `dray sync --drop`, which ends what runs
// have begun at the source. One child per sync, one after another.
#include <stdlib.h>

#include "command.h"
#include "dray/sdk/json.h"
#include "report.h"
#include "sync/state.h"
#include "watched.h"

#define SAMPLES_DEFAULT 5
#define SAMPLES_MAX 1000
#define DROPPED_BYTES_MAX (1u << 20)

struct request {
  const struct dr_sync *sync;
  struct dr_run_options options;
  int detailed; // exit 2 when the plan has changes
  int32_t (*work)(struct dr_watched *watched);
};

static int32_t run_one(struct dr_watched *watched) {
  const struct request *request = watched->ctx;
  struct dr_output *output = watched->call->output;
  struct dr_run_report report;
  const int plan = (request->options.flags & DR_RUN_PLAN) != 0;
  const int32_t rc = dr_run(watched->session, request->sync, &request->options, &report);
  int32_t code = report.exit_code;
  if (rc != DRAY_OK && report.error.error_class == DRAY_CLASS_CONFIG && watched->project->problems.count > 0) {
    code = dr_print_problems(output, watched->project);
  } else if (plan) {
    dr_report_plan(output, &report, request->options.samples_max);
  } else {
    dr_report_run(output, &report);
  }
  const uint64_t changes = report.inserts + report.updates + report.deletes + (report.unknown != NULL ? 1 : 0);
  if (plan && rc == DRAY_OK) code = request->detailed && changes > 0 ? DR_EXIT_CHANGES : DR_EXIT_DONE;
  dr_run_report_free(&report);
  return code;
}

static int32_t run_all(struct dr_command_call *call, struct request *request, int all) {
  struct dr_project *project = NULL;
  size_t *chosen = NULL;
  size_t count = 0;
  int32_t code = dr_command_project(call, &project);
  if (code != 0) return code;
  code = dr_command_syncs(call, project, all, &chosen, &count);
  if (code == 0 && count == 0) code = dr_usage(call, NULL, "name a sync, or use --all");
  if (code == 0) { // one that fails does not keep the others from running
    for (size_t i = 0; i < count; i++) {
      request->sync = &project->syncs[chosen[i]];
      const int32_t one = dr_watched_run(call, project, request->sync->name, request->work, request);
      code = dr_report_worse(code, one);
      if (one == DR_EXIT_INTERRUPTED || one == DR_EXIT_TERMINATED) break;
    }
  }
  free(chosen);
  dr_project_free(project);
  return code;
}

// ---- drop ----

static int32_t print_dropped(struct dr_output *output, const char *sync, struct dray_str json,
                             struct dray_error *error) {
  struct dray_json *root = NULL;
  if (output->json) {
    struct dr_record record;
    dr_record_begin(&record, output, "drop");
    dr_record_text(&record, "sync", sync);
    dr_record_raw(&record, "removed", json);
    dr_record_end(&record);
    return DRAY_OK;
  }
  DRAY_TRY(dray_json_parse(json, json.len, &root, error));
  for (const struct dray_json *thing = root->child; thing != NULL; thing = thing->next) {
    dr_print(output, "%s: removed the %s %s\n", sync, dray_json_get(thing, "kind")->text.data,
             dray_json_get(thing, "name")->text.data);
  }
  if (root->child == NULL) dr_print(output, "%s: nothing of it was found at the source\n", sync);
  dray_json_free(root);
  return DRAY_OK;
}

static int32_t drop_one(struct dr_watched *watched) {
  const struct request *request = watched->ctx;
  struct dray_buffer json;
  struct dray_error error;
  dray_error_init(&error);
  dray_buffer_init(&json, DROPPED_BYTES_MAX);
  int32_t rc = dr_state_drop(watched->session, request->sync, &json, &error);
  if (json.len > 0) { // also where something is left elsewhere
    struct dray_error why;
    dray_error_init(&why);
    const int32_t told = print_dropped(watched->call->output, request->sync->name, dray_buffer_view(&json), &why);
    if (rc == DRAY_OK && told != DRAY_OK) {
      error = why;
      rc = told;
    }
  }
  dray_buffer_free(&json);
  return rc == DRAY_OK ? DR_EXIT_DONE : dr_watched_error(watched, &error);
}

static int32_t drop(struct dr_command_call *call) {
  struct request request = {.work = drop_one};
  static const char *const others[] = {"full-refresh", "allow-guard", "dry-run"};
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
    if (dr_option(call, others[i]) != NULL)
      return dr_usage(call, NULL, "--drop and --%s exclude each other", others[i]);
  }
  if (dr_option(call, "yes") == NULL) {
    return dr_usage(call, NULL,
                    "`sync --drop` removes what the next run would go on from, which then reads everything: "
                    "add --yes");
  }
  return run_all(call, &request, dr_option(call, "all") != NULL);
}

int32_t cmd_sync(struct dr_command_call *call) {
  if (dr_option(call, "drop") != NULL) return drop(call);
  struct request request = {.work = run_one, .options = {.samples_max = 0}};
  if (dr_option(call, "full-refresh") != NULL) request.options.flags |= DR_RUN_FULL;
  if (dr_option(call, "allow-guard") != NULL) request.options.flags |= DR_RUN_ALLOW_GUARD;
  if (dr_option(call, "dry-run") != NULL) {
    request.options.flags |= DR_RUN_PLAN;
    request.options.samples_max = SAMPLES_DEFAULT;
  }
  return run_all(call, &request, dr_option(call, "all") != NULL);
}

int32_t cmd_plan(struct dr_command_call *call) {
  uint64_t samples = SAMPLES_DEFAULT;
  if (dr_option_number(call, "samples", 0, SAMPLES_MAX, &samples) != 0) return DR_EXIT_USAGE;
  struct request request = {.work = run_one,
                            .options = {.flags = DR_RUN_PLAN, .samples_max = (size_t)samples},
                            .detailed = dr_option(call, "detailed-exitcode") != NULL};
  if (dr_option(call, "full-refresh") != NULL) request.options.flags |= DR_RUN_FULL;
  return run_all(call, &request, 1);
}
