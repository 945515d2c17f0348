// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table of commands: the only place where a command or an option is written down.
#include <stdint.h>

#include "command.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OPTIONS(array) .options = (array), .option_count = COUNT(array)
#define COMMANDS(array) .commands = (array), .command_count = COUNT(array)
#define MANY SIZE_MAX

static const struct dr_option global_options[] = {
    {"project", 'C', "DIR", "the project's folder; otherwise the nearest one upwards with a dray.yaml",
     DR_COMPLETE_FOLDER},
    {"json", 0, NULL, "print NDJSON objects instead of text", 0},
    {"no-color", 0, NULL, "no colour; the same as NO_COLOR=1 in the environment", 0},
    {"verbose", 'v', NULL, "log more; twice: log everything", 0},
    {"quiet", 'q', NULL, "say only what was asked for, and errors", 0},
    {"help", 'h', NULL, "show the help of a command", 0},
    {"version", 0, NULL, "show the version", 0},
};

static const struct dr_option check_options[] = {
    {"connection", 0, "NAME", "only this connection", DR_COMPLETE_CONNECTION},
};

static const struct dr_option diff_options[] = {
    {"key", 'k', "COLUMNS", "the columns that identify a row, with commas between them (required)", 0},
    {"columns", 0, "COLUMNS", "compare these and the key alone; otherwise all columns that both have", 0},
    {"exclude", 0, "COLUMNS", "do not compare these", 0},
    {"types", 0, "NAME=TYPE,...", "types of columns, such as price=decimal(12,2); the others are inferred", 0},
    {"format", 'f', "FORMAT", "text, ndjson or csv; otherwise text", 0},
    {"summary", 0, NULL, "counts alone, no rows; with text and ndjson", 0},
    {"limit", 0, "N", "text: changes to show of each kind, 0 to 100000; otherwise 10", 0},
    {"duplicates", 0, "POLICY", "rows with one key: reject withholds them all; or take the first or the last", 0},
    {"delimiter", 0, "C", "CSV: one character, or tab; otherwise a tab in .tsv files and a comma elsewhere", 0},
    {"no-header", 0, NULL, "CSV: the first record is a row; columns are column_1, column_2, ...", 0},
    {"null", 0, "TEXT,...", "CSV: unquoted fields that mean null; otherwise the empty one", 0},
    {"memory", 0, "SIZE", "memory to work with, such as 1GB; otherwise 256MiB; beyond it temporary files", 0},
    {"threads", 0, "N", "threads to work with, 1 to 64; otherwise as many as are of use", 0},
    {"no-sieve", 0, NULL, "CSV: compare rows of equal bytes as well; the outcome is the same", 0},
};

static const struct dr_option plan_options[] = {
    {"detailed-exitcode", 0, NULL, "exit with 2 when there are changes", 0},
    {"samples", 0, "N", "changes to show of each kind, 0 to 1000; otherwise 5", 0},
    {"full-refresh", 0, NULL, "plan a resync: everything is sent, and the deletes", 0},
};

static const struct dr_option sync_options[] = {
    {"all", 0, NULL, "every sync of the project", 0},
    {"full-refresh", 0, NULL, "resync: send everything, and the deletes that the mirror knows", 0},
    {"allow-guard", 0, NULL, "run although the guard would stop it", 0},
    {"dry-run", 0, NULL, "plan only: the same as `dray plan`", 0},
    {"drop", 0, NULL,
     "remove what syncing left at the source (a replication slot), and the checkpoint; the table stays", 0},
    {"yes", 0, NULL, "with --drop: do not ask; without a terminal it is required", 0},
};

static const struct dr_option status_options[] = {
    {"runs", 0, "N", "runs to show, 1 to 1000; otherwise 10", 0},
};

static const struct dr_option rows_options[] = {
    {"limit", 0, "N", "rows to show, 1 to 100000; otherwise 50", 0},
    {"offset", 0, "N", "rows to leave out first", 0},
};
static const struct dr_option rows_resolve_options[] = {
    {"applied", 0, NULL, "the receiver has them: count them as sent", 0},
    {"resend", 0, NULL, "the receiver lacks them: send them again", 0},
};
static const struct dr_command rows_commands[] = {
    {.name = "retry",
     .summary = "send parked and rejected rows again",
     .arguments = "SYNC",
     .details = "Lets rows that were parked after too many refusals take part in the next run of the sync again.",
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_rows_retry},
    {.name = "resolve",
     .summary = "settle batches that are in doubt",
     .arguments = "SYNC",
     .details =
         "Batches are in doubt when a run broke after they left and the destination cannot say whether they arrived. "
         "Look at the receiver, then say which it is.",
     OPTIONS(rows_resolve_options),
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_rows_resolve},
};

static const struct dr_option yes_options[] = {
    {"yes", 0, NULL, "do not ask; without a terminal it is required", 0},
};
static const struct dr_command state_commands[] = {
    {.name = "show",
     .summary = "show the mirror, the checkpoint and what is in doubt",
     .arguments = "SYNC",
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_state_show},
    {.name = "verify",
     .summary = "check every sum of the mirror, and tell where it differs from the table",
     .arguments = "SYNC",
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_state_verify},
    {.name = "reset",
     .summary = "forget mirror and checkpoint",
     .arguments = "SYNC",
     .details = "The next run reads everything and sends everything. Deletes that the old mirror knew are lost: "
                "`dray sync --full-refresh` keeps them.",
     OPTIONS(yes_options),
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_state_reset},
    {.name = "baseline",
     .summary = "fill the mirror from the source and send nothing",
     .arguments = "SYNC",
     .details = "For a destination that is known to hold what the source shows now.",
     OPTIONS(yes_options),
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_state_baseline},
    {.name = "rebuild",
     .summary = "fill the mirror from the warehouse table",
     .arguments = "SYNC",
     .details = "For a sync into a warehouse whose mirror was lost or damaged: the table says what it holds.",
     OPTIONS(yes_options),
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_state_rebuild},
};

static const struct dr_option plugin_new_options[] = {
    {"dir", 0, "DIR", "where to make it; otherwise a folder of the plugin's name", DR_COMPLETE_FOLDER},
};
static const struct dr_option plugin_test_options[] = {
    {"config", 0, "FILE", "settings to test with, and what the kit may use (required)", DR_COMPLETE_FILE},
    {"report", 0, "FILE", "write a machine-readable report", DR_COMPLETE_FILE},
    {"only", 0, "CHECK", "one check of the kit", 0},
};
static const struct dr_command plugin_commands[] = {
    {.name = "list", .summary = "list the plugins that are found, and where dray looks", .run = cmd_plugin_list},
    {.name = "info",
     .summary = "show a plugin's roles and settings",
     .arguments = "NAME",
     .positional_min = 1,
     .positional_max = 1,
     .run = cmd_plugin_info},
    {.name = "new",
     .summary = "make the skeleton of a plugin",
     .arguments = "NAME",
     OPTIONS(plugin_new_options),
     .positional_min = 1,
     .positional_max = 1,
     .run = cmd_plugin_new},
    {.name = "test",
     .summary = "run the conformance kit on a plugin",
     .arguments = "LIBRARY",
     OPTIONS(plugin_test_options),
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_FILE,
     .run = cmd_plugin_test},
};

static const char *const shells[] = {"bash", "zsh", "fish", NULL};
static const char *const name_kinds[] = {"syncs", "connections", "codes", NULL};
static const struct dr_command completion_commands[] = {
    {.name = "names",
     .summary = "names for the completion scripts",
     .arguments = "KIND",
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_CHOICES,
     .choices = name_kinds,
     .hidden = 1,
     .run = cmd_names},
};

static const struct dr_option help_options[] = {
    {"man", 0, NULL, "write the man page, dray(1), as roff", 0},
};

static const struct dr_command commands[] = {
    {.name = "init",
     .summary = "start a project that works at once",
     .arguments = "[DIR]",
     .details = "Writes a small commented project: dray.yaml, an example CSV, a model and a .gitignore. Nothing that "
                "exists is overwritten. Then `dray sync --all` loads the CSV into a SQLite warehouse.",
     .positional_max = 1,
     .completes = DR_COMPLETE_FOLDER,
     .run = cmd_init},
    {.name = "check",
     .summary = "check the config and try the connections",
     .details = "Reads the project, shows all errors at once, loads the plugins, checks every setting, and tries each "
                "connection step by step.",
     OPTIONS(check_options),
     .run = cmd_check},
    {.name = "diff",
     .summary = "compare two files or tables by key: what became of OLD",
     .arguments = "OLD NEW",
     .details =
         "Prints what must be done to OLD to get NEW: rows added, changed (which columns, before and after) and "
         "removed. Needs no project.\n"
         "\n"
         "OLD and NEW are each a CSV, TSV or JSON Lines file (.csv, .tsv, .jsonl, .ndjson, .json; any of them "
         "gzipped), "
         "sqlite:PATH#TABLE, or 'sqlite:PATH#SELECT ...'. Rows are matched by --key. A column that only one side has "
         "is named and makes them differ, unless it is excluded.\n"
         "\n"
         "Values are compared, not spellings: quotes are not part of a value, and columns of numbers, truth values and "
         "times are compared as such (1.5 is 1.50) and printed in one spelling. A column is such a one when all its "
         "values "
         "among the first 10,000 rows of both sides (at most 8 MB) are; numbers with leading zeros or of more than 18 "
         "digits are text, empty texts say nothing. A later value that does not fit is compared as text: no row is "
         "lost by inference. A key of whole numbers on both sides is compared as it is spelt. With --types a value "
         "that is not of its type makes its row, if it differs, one that cannot be compared.\n"
         "\n"
         "ndjson: an object a change, {\"op\",\"key\",\"changed\",\"before\",\"after\"}; before and after are whole "
         "rows, "
         "null where there is none. csv: op, the key's columns, column, before, after; a line for each column that "
         "changed, or of a row that was added or removed. Null is nothing, an empty text is \"\".\n"
         "\n"
         "Exit codes: 0 equal, 2 different, 3 some rows could not be compared (no key, a key that is not unique, a "
         "value that cannot be read): what is told of the others holds, but the key of a record that cannot be read "
         "is not known, and its row of the other side may be told as added or removed; 1 failed, 4 usage or an input "
         "that cannot be opened, 130 or 143 interrupted. "
         "Temporary files "
         "lie in TMPDIR and may take twice OLD's size.",
     OPTIONS(diff_options),
     .positional_min = 2,
     .positional_max = 2,
     .completes = DR_COMPLETE_FILE,
     .run = cmd_diff},
    {.name = "discover",
     .summary = "list what a connection offers: streams, objects, tables",
     .arguments = "CONNECTION",
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_CONNECTION,
     .run = cmd_discover},
    {.name = "plan",
     .summary = "show what a run would change, and send nothing",
     .arguments = "[SYNC...]",
     .details =
         "Reads the source, compares with the mirror, and shows the changes: added, changed (which columns, before and "
         "after) and removed. Without a name: every sync.",
     OPTIONS(plan_options),
     .positional_max = MANY,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_plan},
    {.name = "sync",
     .summary = "run syncs: send what changed",
     .arguments = "[SYNC...]",
     .details = "Runs the syncs that are named, or all of them with --all, one after the other. A name stands for all "
                "streams of a sync, NAME.STREAM for one.\n"
                "Of rows that were not taken the report, and the record `run` of --json, counts: "
                "rejected (could not be read, have no key or one that came twice, or were refused: `dray rows` has the "
                "reasons), parked (refused too often: `dray rows retry`), pending (a job of the destination is at work "
                "on them), unsent (it takes no more jobs, or no more calls), kept_back (a limit of the destination, "
                "429, held them for half an hour; they are not refused), in_doubt (an answer was lost; `dray rows "
                "resolve` where only you can say), deferred (the next run looks again). The next run takes up all but "
                "the parked ones and those that wait for you.",
     OPTIONS(sync_options),
     .positional_max = MANY,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_sync},
    {.name = "status",
     .summary = "show the last runs and what is to be done",
     .arguments = "[SYNC]",
     OPTIONS(status_options),
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_status},
    {.name = "rows",
     .summary = "show rejected rows; retry, resolve",
     .arguments = "SYNC",
     .details = "Shows the rows that the sync could not deliver, each with its reason.",
     OPTIONS(rows_options),
     COMMANDS(rows_commands),
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_SYNC,
     .run = cmd_rows},
    {.name = "state",
     .summary = "look at and repair what dray remembers of a sync",
     .details = "The mirror is the record of what the other side holds; the checkpoint is the source's position.",
     COMMANDS(state_commands)},
    {.name = "plugin", .summary = "list, inspect, make and test plugins", COMMANDS(plugin_commands)},
    {.name = "explain",
     .summary = "explain an error by its name or number; list all",
     .arguments = "[CODE]",
     .positional_max = 1,
     .completes = DR_COMPLETE_CODE,
     .run = cmd_explain},
    {.name = "completion",
     .summary = "write the completion script of a shell",
     .arguments = "bash|zsh|fish",
     .details = "Load it with `source <(dray completion bash)`, `source <(dray completion zsh)` or "
                "`dray completion fish | source`.",
     COMMANDS(completion_commands),
     .positional_min = 1,
     .positional_max = 1,
     .completes = DR_COMPLETE_CHOICES,
     .choices = shells,
     .run = cmd_completion},
    {.name = "help",
     .summary = "show the help of dray or of a command",
     .arguments = "[COMMAND...]",
     OPTIONS(help_options),
     .positional_max = 3,
     .completes = DR_COMPLETE_COMMAND,
     .run = cmd_help},
};

const struct dr_command dr_root = {
    .name = "dray",
    .summary = "haul rows between a company's tools and its warehouse, and move only what changed",
    .details = "dray hauls rows between a company's tools and its data warehouse, and moves only what changed.\n"
               "A project is a folder with a dray.yaml; begin with `dray init`.\n"
               "\n"
               "Exit codes: 0 done, 1 failed, 2 there are changes (diff, plan with --detailed-exitcode), 3 partial, 4 "
               "usage or "
               "config, 5 credentials, 6 already running, 7 guard, 8 plugin, 130 or 143 interrupted.",
    OPTIONS(global_options),
    COMMANDS(commands),
};
