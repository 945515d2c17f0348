// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Temporary projects for the tests of whole runs.
#include "scene.h"

#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
//
#include <cmocka.h>

#include "base/fault.h"
#include "store/store.h"
#include "torture.h"

#define STREAMS                                                                                                        \
  "{\"streams\":[{\"name\":\"rows\",\"columns\":[{\"name\":\"id\",\"type\":\"int64\"}],\"primary_key\":[\"id\"],"      \
  "\"cursor\":null,\"modes\":[\"full\",\"incremental\"]}]}"
#define OBJECTS "{\"objects\":[{\"name\":\"things\"},{\"name\":\"others\"}]}"
#define CONNECTIONS                                                                                                    \
  "version: 1\nconnections:\n  src: {plugin: probe, path: p}\n  dst: {plugin: probe, path: p}\n"                       \
  "  wh: {plugin: sqlite, path: wh.db}\nsyncs:\n  s:\n    from: {connection: src, streams: [rows]}\n"

void scene_write(struct scene *scene, const char *name, const char *text) {
  char path[200];
  (void)snprintf(path, sizeof(path), "%s/%s", scene->folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

void scene_config(struct scene *scene, const char *text) {
  char config[4096];
  (void)snprintf(config, sizeof(config), "%s%s", CONNECTIONS, text);
  scene_write(scene, "dray.yaml", config);
}

static void begin(struct scene *scene) {
  memset(scene, 0, sizeof(*scene));
  (void)snprintf(scene->folder, sizeof(scene->folder), "/tmp/dray-sync-XXXXXX");
  assert_non_null(mkdtemp(scene->folder));
  char path[200];
  (void)snprintf(path, sizeof(path), "%s/p", scene->folder);
  assert_int_equal(mkdir(path, 0700), 0);
  scene_write(scene, "p/streams.json", STREAMS);
  scene_write(scene, "p/objects.json", OBJECTS);
}

void scene_activate(struct scene *scene, const char *sync) {
  char text[2048];
  begin(scene);
  (void)snprintf(text, sizeof(text), "    to: {connection: dst, object: things}\n%s", sync);
  scene_config(scene, text);
}

void scene_ingest(struct scene *scene, const char *sync) {
  char text[2048];
  begin(scene);
  (void)snprintf(text, sizeof(text), "    to: {connection: wh, table: rows}\n%s", sync);
  scene_config(scene, text);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk) {
  (void)info;
  (void)type;
  (void)walk;
  return remove(path);
}

void scene_end(struct scene *scene) {
  dr_run_report_free(&scene->report);
  assert_int_equal(chdir("/tmp"), 0);
  assert_int_equal(nftw(scene->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void scene_script(struct scene *scene, const char *columns, const char *rows, const char *more) {
  static char text[1 << 16];
  (void)snprintf(text, sizeof(text), "{\"columns\":%s,\"rows\":%s%s}", columns, rows, more);
  scene_write(scene, "p/script.json", text);
}

void scene_rows(struct scene *scene, const char *rows, const char *more) {
  scene_script(scene, "[[\"id\",\"int64\"],[\"name\",\"string\"]]", rows, more);
}

int32_t scene_run(struct scene *scene, uint32_t flags) {
  struct dr_project *project = NULL;
  struct dr_session *session = NULL;
  struct dray_error error;
  dray_error_init(&error);
  dr_run_report_free(&scene->report);
  if (dr_project_load(scene->folder, &project, &error) != DRAY_OK) fail_msg("%s", error.text);
  if (project->problems.count > 0) fail_msg("%s", project->problems.items[0].what);
  if (dr_session_open(project, &session, &error) != DRAY_OK) fail_msg("%s", error.text);
  const struct dr_run_options options = {.flags = flags, .samples_max = 3};
  (void)torture_arm(scene->arm);
  const int32_t rc = dr_run(session, &project->syncs[0], &options, &scene->report);
  scene->starved = torture_arm(0);
  dr_session_close(session);
  dr_project_free(project);
  return rc;
}

int scene_run_killed(struct scene *scene, const char *fault) {
  (void)fflush(NULL);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    (void)setenv("DRAY_FAULT", fault, 1);
    dr_fault_reload();
    (void)scene_run(scene, 0);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

size_t scene_count(const struct scene *scene, const char *begin_of_line) {
  char path[200];
  char line[4096];
  size_t count = 0;
  (void)snprintf(path, sizeof(path), "%s/p/ledger", scene->folder);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof(line), file) != NULL) {
    count += strncmp(line, begin_of_line, strlen(begin_of_line)) == 0;
  }
  (void)fclose(file);
  return count;
}

void scene_forget(struct scene *scene) {
  char path[200];
  (void)snprintf(path, sizeof(path), "%s/p/ledger", scene->folder);
  (void)unlink(path);
}

struct dr_store *scene_store(struct scene *scene) {
  char path[200];
  struct dr_store *store = NULL;
  struct dray_error error;
  (void)snprintf(path, sizeof(path), "%s/.dray", scene->folder);
  assert_int_equal(dr_store_open(path, &store, &error), DRAY_OK);
  return store;
}

const char *scene_query(const struct scene *scene, const char *sql) {
  static char text[4096];
  char path[200];
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  size_t n = 0;
  (void)snprintf(path, sizeof(path), "%s/wh.db", scene->folder);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) fail_msg("%s", sqlite3_errmsg(db));
  text[0] = '\0';
  while (sqlite3_step(statement) == SQLITE_ROW) {
    if (n > 0) n += (size_t)snprintf(text + n, sizeof(text) - n, ";");
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
      const unsigned char *value = sqlite3_column_text(statement, i);
      n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? "|" : "", value ? (const char *)value : "null");
    }
  }
  (void)sqlite3_finalize(statement);
  (void)sqlite3_close(db);
  return text;
}

void scene_verify(struct scene *scene, struct dr_state_comparison *out) {
  struct dr_project *project = NULL;
  struct dr_session *session = NULL;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(dr_project_load(scene->folder, &project, &error), DRAY_OK);
  assert_int_equal(dr_session_open(project, &session, &error), DRAY_OK);
  if (dr_state_verify(session, &project->syncs[0], 3, out, &error) != DRAY_OK) fail_msg("%s", error.text);
  dr_session_close(session);
  dr_project_free(project);
}
