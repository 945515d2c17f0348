// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The order of the checks, a child for each, and the report.
#include "conformance/kit.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "config/project.h"
#include "conformance/subject.h"
#include "dray/sdk/config.h"
#include "sync/supervise.h"

#define CALL_MS_MAX 60000 // a call into the plugin without any progress is a hang
#define FILES_OPEN_MAX 16

static const struct {
  const char *name;
  const char *meaning;
  kit_check *run;
  int load; // 0: the check loads the library itself
} checks[] = {
    {"exports", "the library exports its entry point and nothing else", check_exports, 0},
    {"manifest", "manifest, digest, ABI, name, version and roles agree", check_manifest, 0},
    {"spec", "the settings are a closed schema in the known subset, secrets marked", check_spec, 1},
    {"unknown_setting", "a setting that the spec does not know is refused", check_unknown_setting, 1},
    {"canary_secrets", "a secret shows in no output, error, catalogue or state", check_canary, 1},
    {"discover_stable", "discover gives the same bytes twice", check_discover, 1},
    {"resume", "a read killed and resumed at every safe place shows every row", check_resume, 1},
    {"second_sync", "the same data again writes nothing", check_second, 1},
    {"receipts", "every row written gets exactly one receipt", check_receipts, 1},
    {"caps", "caps are complete, and a batch over them is refused", check_caps, 1},
    {"cancel", "a cancel is answered within a second", check_cancel, 1},
    {"allocation", "every failing allocation is reported and leaks nothing", check_allocation, 1},
    {"lifecycle", "a hundred lives leave no memory behind", check_lifecycle, 1},
    {"values", "Unicode, empty, null, huge, decimal and time edge values survive", check_values, 1},
};
#define CHECK_COUNT (sizeof(checks) / sizeof(checks[0]))

// ---- one check, in a child ----

// What the child says, in memory that it shares with its parent.
struct said {
  int status; // 0: nothing, it died
  char text[1024];
};

struct errand {
  const struct dr_kit_options *options;
  size_t check;
  const char *scratch;
  struct said *said;
};

static int run_child(void *ctx) {
  const struct errand *errand = ctx;
  struct subject subject;
  struct dray_error error;
  (void)alarm(KIT_SECONDS_MAX);
  subject_init(&subject, errand->options);
  dray_error_init(&error);
  int status;
  if (subject_open(&subject, errand->scratch, checks[errand->check].load, &error) != DRAY_OK) {
    const int refused =
        checks[errand->check].load && error.code >= DRAY_E_PLUGIN_MISSING && error.code <= DRAY_E_PLUGIN_ROLE;
    status = refused ? kit_skip(&subject, "the library was not loaded") : kit_fail_error(&subject, "preparing", &error);
  } else {
    status = checks[errand->check].run(&subject);
  }
  (void)snprintf(errand->said->text, sizeof(errand->said->text), "%s", status == DR_KIT_PASS ? "" : subject.found);
  errand->said->status = status;
  subject_close(&subject);
  return 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place) {
  (void)info;
  (void)kind;
  (void)place;
  return remove(path);
}

static int32_t run_check(const struct dr_kit_options *options, size_t check, struct said *said,
                         struct dr_kit_result *result, struct dray_error *error) {
  char scratch[] = "/tmp/dray-kit-XXXXXX";
  if (mkdtemp(scratch) == NULL) return dr_fail_errno(error, "make", scratch);
  struct errand errand = {options, check, scratch, said};
  const struct dr_supervise_options supervision = {.stall_timeout_ms = CALL_MS_MAX};
  struct dr_supervise_result outcome;
  const int64_t start = dr_monotonic_ms();
  memset(said, 0, sizeof(*said));
  const int32_t rc = dr_supervise(run_child, &errand, &supervision, &outcome, error);
  (void)nftw(scratch, remove_entry, FILES_OPEN_MAX, FTW_DEPTH | FTW_PHYS);
  if (rc != DRAY_OK) return rc;
  result->check = checks[check].name;
  result->meaning = checks[check].meaning;
  result->took_ms = dr_monotonic_ms() - start;
  result->status = said->status != 0 ? said->status : DR_KIT_FAIL;
  (void)snprintf(result->text, sizeof(result->text), "%s", said->text);
  if (outcome.error.code != DRAY_OK) { // a crash in a check is its failure, even after it has said that all is well
    result->status = DR_KIT_FAIL;
    const int hung = strstr(outcome.error.text, strsignal(SIGALRM)) != NULL;
    (void)snprintf(result->text, sizeof(result->text), "%s",
                   hung ? "a call did not answer, and the check was ended" : outcome.error.text);
  } else if (outcome.exit_code != 0) { // a sanitizer ends a process in its own way
    result->status = DR_KIT_FAIL;
    (void)snprintf(result->text, sizeof(result->text), "the process of the check ended with exit code %d",
                   outcome.exit_code);
  }
  return DRAY_OK;
}

// ---- all of them ----

static int32_t choose(const struct dr_kit_options *options, struct dray_error *error) {
  struct dray_nearest nearest;
  if (options->only == NULL) return DRAY_OK;
  dray_nearest_init(&nearest, dray_str_of(options->only));
  for (size_t i = 0; i < CHECK_COUNT; i++) {
    if (strcmp(options->only, checks[i].name) == 0) return DRAY_OK;
    dray_nearest_offer(&nearest, checks[i].name);
  }
  return dray_fail(error, DRAY_E_USAGE, "the kit has no check \"%s\"%s", options->only, dray_nearest_hint(&nearest));
}

// A config that cannot be read is said once, not by every check.
static int32_t try_config(const struct dr_kit_options *options, struct dray_error *error) {
  struct subject subject;
  subject_init(&subject, options);
  const int32_t rc = kit_config_read(options->config, "/tmp", &subject, error);
  subject_close(&subject);
  return rc;
}

int32_t dr_kit_run(const struct dr_kit_options *options, struct dr_kit_result **out, size_t *out_count,
                   struct dray_error *error) {
  struct dr_manifest manifest;
  DRAY_TRY(choose(options, error));
  DRAY_TRY(try_config(options, error));
  DRAY_TRY(dr_manifest_read(options->library, &manifest, error));
  struct dr_kit_result *results = calloc(CHECK_COUNT, sizeof(*results));
  void *page = mmap(NULL, sizeof(struct said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int32_t rc =
      results == NULL || page == MAP_FAILED ? dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the kit") : DRAY_OK;
  size_t count = 0;
  for (size_t i = 0; rc == DRAY_OK && i < CHECK_COUNT; i++) {
    if (options->only != NULL && strcmp(options->only, checks[i].name) != 0) continue;
    rc = run_check(options, i, page, &results[count], error);
    count++;
  }
  if (page != MAP_FAILED) (void)munmap(page, sizeof(struct said));
  if (rc != DRAY_OK) {
    free(results);
    return rc;
  }
  *out = results;
  *out_count = count;
  return DRAY_OK;
}

int32_t dr_kit_report(const struct dr_kit_options *options, const struct dr_kit_result *results, size_t count,
                      struct dray_buffer *out, struct dray_error *error) {
  static const char *const words[] = {"", "pass", "fail", "skip"};
  struct dr_manifest manifest;
  struct dray_json_writer writer;
  int64_t totals[4] = {0};
  DRAY_TRY(dr_manifest_read(options->library, &manifest, error));
  for (size_t i = 0; i < count; i++) totals[results[i].status]++;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "v");
  dray_json_write_int(&writer, 1);
  dray_json_key(&writer, "plugin");
  dray_json_write_text(&writer, manifest.name);
  dray_json_key(&writer, "version");
  dray_json_write_text(&writer, manifest.version);
  dray_json_key(&writer, "library");
  dray_json_write_text(&writer, options->library);
  dray_json_key(&writer, "passed");
  dray_json_write_int(&writer, totals[DR_KIT_PASS]);
  dray_json_key(&writer, "failed");
  dray_json_write_int(&writer, totals[DR_KIT_FAIL]);
  dray_json_key(&writer, "skipped");
  dray_json_write_int(&writer, totals[DR_KIT_SKIP]);
  dray_json_key(&writer, "checks");
  dray_json_begin_array(&writer);
  for (size_t i = 0; i < count; i++) {
    dray_json_begin_object(&writer);
    dray_json_key(&writer, "check");
    dray_json_write_text(&writer, results[i].check);
    dray_json_key(&writer, "status");
    dray_json_write_text(&writer, words[results[i].status]);
    dray_json_key(&writer, "text");
    dray_json_write_text(&writer, results[i].text);
    dray_json_key(&writer, "took_ms");
    dray_json_write_int(&writer, results[i].took_ms);
    dray_json_end_object(&writer);
  }
  dray_json_end_array(&writer);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}
