// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray init [DIR]`: a small project that works at once, with comments for what comes next. Nothing that exists is
// overwritten; when writing fails half way, what was written is taken away again.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "command.h"

struct piece {
  const char *path;
  const char *text;
  int may_exist; // then it is left as it is
};

static const char yaml_text[] =
    "# A dray project: from where, to where, how. `dray check` tries it, `dray plan` shows what a run would do,\n"
    "# `dray sync --all` does it.\n"
    "version: 1\n"
    "\n"
    "# A connection is a plugin with its settings; `dray plugin info NAME` lists them. Secrets are references, never\n"
    "# values:   api_key: !secret env:MAILCHIMP_KEY   or   !secret file:keys/mailchimp   or   !secret exec:pass "
    "mailchimp\n"
    "connections:\n"
    "  files: {plugin: file, path: data/customers.csv}\n"
    "  warehouse: {plugin: sqlite, path: warehouse.db}\n"
    "#   hook: {plugin: webhook, url: \"https://example.com/in\", bearer_token: !secret env:HOOK_TOKEN}\n"
    "\n"
    "# The other direction: a query over the warehouse, sent to a tool. Once the first run has made the table, take "
    "away\n"
    "# `# ` before `hook` above, before `models` here and before the sync at the end. The query is in\n"
    "# models/by_country.sql; `key` tells which row is which.\n"
    "# models:\n"
    "#   by_country: {warehouse: warehouse, key: country}\n"
    "\n"
    "# Rows come from a stream of a source (`dray discover files`) and go to a table of a warehouse. After the first "
    "run\n"
    "# only what changed is sent: edit a line of data/customers.csv and see.\n"
    "syncs:\n"
    "  customers:\n"
    "    from: {connection: files, stream: customers}\n"
    "    to: {connection: warehouse, table: customers}\n"
    "    key: id         # which row is which, from run to run\n"
    "    mode: mirror    # the table follows the file; `upsert` would keep rows that are gone from it\n"
    "\n"
    "#   by_country_to_hook:\n"
    "#     from: {model: by_country}\n"
    "#     to: {connection: hook, object: rows}\n"
    "#     mode: mirror\n";

static const char csv_text[] = "id,name,email,country,joined\n"
                               "1,Ada Byron,ada@example.com,GB,2024-01-09\n"
                               "2,Grace Murray,grace@example.com,US,2024-02-14\n"
                               "3,Zoë Müller,zoe@example.com,DE,2024-02-29\n"
                               "4,\"Diallo, Amina\",amina@example.com,SN,2024-03-30\n"
                               "5,Kenji Sato,kenji@example.com,JP,2024-05-05\n"
                               "6,Renée Dubois,,FR,2024-06-21\n";

static const char sql_text[] = "SELECT country, count(*) AS customers, min(joined) AS first_joined\n"
                               "FROM customers\n"
                               "GROUP BY country\n";

static const char ignore_text[] = "# dray's local state, and the example's warehouse\n"
                                  ".dray/\n"
                                  "warehouse.db\n"
                                  "warehouse.db-*\n";

static const struct piece pieces[] = {
    {"dray.yaml", yaml_text, 0},
    {"data/customers.csv", csv_text, 0},
    {"models/by_country.sql", sql_text, 0},
    {".gitignore", ignore_text, 1},
};
#define PIECE_COUNT (sizeof(pieces) / sizeof(pieces[0]))

static int32_t join(const char *folder, const char *name, char **out, struct dray_error *error) {
  *out = dr_path_join(folder, name);
  return *out != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the path of %s", name);
}

static int32_t refuse_existing(const char *folder, struct dray_error *error) {
  char *path = NULL;
  for (size_t i = 0; i < PIECE_COUNT; i++) {
    DRAY_TRY(join(folder, pieces[i].path, &path, error));
    const int there = dr_file_exists(path);
    free(path);
    if (there && !pieces[i].may_exist)
      return dray_fail(error, DRAY_E_USAGE, "%s/%s is there already; nothing was written", folder, pieces[i].path);
  }
  return DRAY_OK;
}

// Makes the folders that a piece lies in, as open to others as the user's umask says.
static int32_t make_parents(char *path, struct dray_error *error) {
  for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    const int failed = mkdir(path, 0777) != 0 && errno != EEXIST;
    const int32_t rc = failed ? dr_fail_errno(error, "make the folder", path) : DRAY_OK;
    *slash = '/';
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

// *out_written = 0 when the file was there and may be.
static int32_t write_piece(const char *folder, const struct piece *piece, int *out_written, struct dray_error *error) {
  char *path = NULL;
  DRAY_TRY(join(folder, piece->path, &path, error));
  *out_written = 0;
  int32_t rc = make_parents(path, error);
  if (rc == DRAY_OK) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
      *out_written = 1;
      rc = dr_fd_write(fd, piece->text, strlen(piece->text), path, error);
      if (close(fd) != 0 && rc == DRAY_OK) rc = dr_fail_errno(error, "write", path);
    } else if (errno != EEXIST || !piece->may_exist) {
      rc = dr_fail_errno(error, "make", path);
    }
  }
  free(path);
  return rc;
}

static void take_back(const char *folder, const int *written) {
  for (size_t i = 0; i < PIECE_COUNT; i++) {
    char *path = written[i] ? dr_path_join(folder, pieces[i].path) : NULL;
    if (path != NULL) (void)unlink(path);
    free(path);
  }
}

static void report(struct dr_output *output, const char *folder, const int *written) {
  for (size_t i = 0; i < PIECE_COUNT; i++) {
    if (output->json && written[i]) {
      struct dr_record record;
      dr_record_begin(&record, output, "created");
      dr_record_text(&record, "folder", folder);
      dr_record_text(&record, "path", pieces[i].path);
      dr_record_end(&record);
    } else if (written[i]) {
      dr_print(output, "created  %s/%s\n", folder, pieces[i].path);
    } else {
      dr_note(output, "%s/%s was there already; see that it has the line .dray/\n", folder, pieces[i].path);
    }
  }
  const int here = strcmp(folder, ".") == 0;
  dr_note(output, "\nNext:%s%s\n  dray check\n  dray plan\n  dray sync --all\n", here ? "" : "\n  cd ",
          here ? "" : folder);
}

int32_t cmd_init(struct dr_command_call *call) {
  int written[PIECE_COUNT] = {0};
  const char *folder = call->positional_count > 0 ? call->positionals[0] : ".";
  if (call->positional_count == 0 && call->project_folder != NULL) folder = call->project_folder;
  if (folder[0] == '\0') return dr_usage(call, NULL, "the folder's name is empty");
  int32_t rc = refuse_existing(folder, &call->error);
  const int exists = rc == DRAY_E_USAGE;
  for (size_t i = 0; i < PIECE_COUNT && rc == DRAY_OK; i++)
    rc = write_piece(folder, &pieces[i], &written[i], &call->error);
  if (rc != DRAY_OK) {
    take_back(folder, written);
    return dr_print_error_hint(call->output, &call->error, NULL,
                               exists ? "name another folder, or move the file away" : NULL);
  }
  report(call->output, folder, written);
  return 0;
}
