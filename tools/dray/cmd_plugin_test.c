// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray plugin test LIBRARY --config FILE`: the conformance kit, for people and as a report.
#include <stdlib.h>

#include "base/file.h"
#include "conformance/kit.h"
#include "watched.h"

#define REPORT_BYTES_MAX (1u << 20)

static void print_result(struct dr_output *output, const struct dr_kit_result *result) {
  static const struct {
    const char *word;
    int style;
  } words[] = {{"", 0}, {"pass", DR_STYLE_GREEN}, {"FAIL", DR_STYLE_RED}, {"skip", DR_STYLE_DIM}};
  if (output->json) {
    struct dr_record record;
    dr_record_begin(&record, output, "conformance");
    dr_record_text(&record, "check", result->check);
    dr_record_text(&record, "status", result->status == DR_KIT_FAIL ? "fail" : words[result->status].word);
    dr_record_text(&record, "text", result->text);
    dr_record_int(&record, "took_ms", result->took_ms);
    dr_record_end(&record);
    return;
  }
  dr_print(output, "%s%s%s  %-16s %s\n", dr_style(output, words[result->status].style), words[result->status].word,
           dr_style(output, DR_STYLE_RESET), result->check, result->meaning);
  if (result->text[0] != '\0') dr_print(output, "      %s\n", result->text);
}

static int32_t write_report(struct dr_command_call *call, const struct dr_kit_options *options,
                            const struct dr_kit_result *results, size_t count, const char *path) {
  struct dray_buffer report;
  dray_buffer_init(&report, REPORT_BYTES_MAX);
  int32_t rc = dr_kit_report(options, results, count, &report, &call->error);
  if (rc == DRAY_OK) rc = dr_file_replace(path, dray_buffer_view(&report), &call->error);
  dray_buffer_free(&report);
  return rc == DRAY_OK ? 0 : dr_print_error(call->output, &call->error);
}

int32_t cmd_plugin_test(struct dr_command_call *call) {
  const struct dr_kit_options options = {
      .library = call->positionals[0], .config = dr_option(call, "config"), .only = dr_option(call, "only")};
  const char *path = dr_option(call, "report");
  struct dr_kit_result *results = NULL;
  size_t count = 0, failed = 0;
  if (options.config == NULL) return dr_usage(call, NULL, "the kit needs --config FILE: the settings to test with");
  if (dr_kit_run(&options, &results, &count, &call->error) != DRAY_OK)
    return dr_print_error(call->output, &call->error);
  for (size_t i = 0; i < count; i++) {
    print_result(call->output, &results[i]);
    failed += results[i].status == DR_KIT_FAIL;
  }
  int32_t code = path != NULL ? write_report(call, &options, results, count, path) : 0;
  if (code == 0 && failed > 0) {
    dr_note(call->output, "%zu of %zu checks failed\n", failed, count);
    code = DR_EXIT_FAILED;
  }
  free(results);
  return code;
}
