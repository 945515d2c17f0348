// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray diff OLD NEW --key ...`: the engine on two files or tables, without a project.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "compare/scratch.h"
#include "config/inside.h"
#include "diff_out.h"
#include "report.h"
#include "watched.h"

#define MEMORY_DEFAULT (256ull << 20)
#define MEMORY_MIN (1ull << 20)
#define MEMORY_MAX (1ull << 44)
#define LIMIT_DEFAULT 10
#define LIMIT_MAX 100000
#define THREADS_MAX 64
#define ITEMS_MAX 4096

enum { FORMAT_TEXT, FORMAT_NDJSON, FORMAT_CSV };

// Texts of an option that is a list; given several times, it goes on.
struct list {
  char **items; // owned
  size_t count;
};

struct request {
  struct dr_command_call *call;
  struct dr_compare_options options;
  struct list key, columns, excluded, nulls, type_texts;
  struct dray_column_def *types; // owned; names belong to type_texts
  int format, summary;
  uint64_t limit;
};

// ---- lists ----

static void free_list(struct list *list) {
  for (size_t i = 0; i < list->count; i++) free(list->items[i]);
  free(list->items);
}

static int32_t no_memory(struct dr_command_call *call) {
  (void)dray_fail(&call->error, DRAY_E_OUT_OF_MEMORY, "no memory for the options");
  return dr_print_error(call->output, &call->error);
}

// The end of an item: a comma that stands in no brackets and behind no backslash.
static const char *item_end(const char *at) {
  int depth = 0;
  for (; *at != '\0'; at++) {
    if (*at == '\\' && at[1] == ',') {
      at++;
    } else if (*at == '(') {
      depth++;
    } else if (*at == ')') {
      depth--;
    } else if (*at == ',' && depth <= 0) {
      break;
    }
  }
  return at;
}

static int add_item(struct list *list, const char *from, const char *end) {
  if (list->items == NULL) list->items = calloc(ITEMS_MAX, sizeof(*list->items));
  char *copy = list->items != NULL ? malloc((size_t)(end - from) + 1) : NULL;
  if (copy == NULL) return 0;
  size_t len = 0;
  for (; from < end; from++) {
    if (*from == '\\' && from + 1 < end && from[1] == ',') from++;
    copy[len++] = *from;
  }
  copy[len] = '\0';
  list->items[list->count++] = copy;
  return 1;
}

// `empty`: an item may be empty.
static int32_t take_list(struct dr_command_call *call, const char *name, int empty, struct list *out) {
  for (size_t i = 0; i < call->given_count; i++) {
    if (strcmp(call->given[i].option->name, name) != 0) continue;
    for (const char *at = call->given[i].value;; at++) {
      const char *end = item_end(at);
      if (end == at && !empty) {
        return dr_usage(call, NULL, "--%s has an empty name in \"%s\"", name, call->given[i].value);
      }
      if (out->count == ITEMS_MAX) return dr_usage(call, NULL, "--%s has more than %d items", name, ITEMS_MAX);
      if (!add_item(out, at, end)) return no_memory(call);
      at = end;
      if (*at == '\0') break;
    }
  }
  return 0;
}

static int32_t take_types(struct request *request) {
  struct dr_command_call *call = request->call;
  const int32_t code = take_list(call, "types", 0, &request->type_texts);
  if (code != 0) return code;
  request->types = calloc(request->type_texts.count + 1, sizeof(*request->types));
  if (request->types == NULL) return no_memory(call);
  for (size_t i = 0; i < request->type_texts.count; i++) {
    char *text = request->type_texts.items[i];
    char *equals = strrchr(text, '=');
    struct dray_type type = {0, 0, 0};
    if (equals == NULL || equals == text) {
      return dr_usage(call, NULL, "--types takes NAME=TYPE, not \"%s\"", text);
    }
    if (dray_type_parse(dray_str_of(equals + 1), &type, NULL) != DRAY_OK) {
      return dr_usage(call, NULL,
                      "\"%s\" is not a type (column %.*s): use bool, int64, float64, decimal(P,S), string, "
                      "bytes, date, timestamp or json",
                      equals + 1, (int)(equals - text), text);
    }
    *equals = '\0';
    request->types[i] = (struct dray_column_def){text, type, 1};
  }
  return 0;
}

// ---- options ----

// One of a NULL-terminated list of words, by its place.
static int32_t take_word(struct dr_command_call *call, const char *name, const char *const *words, int *out) {
  const char *text = dr_option(call, name);
  char all[128] = "";
  if (text == NULL) return 0;
  for (int i = 0; words[i] != NULL; i++) {
    if (strcmp(words[i], text) == 0) {
      *out = i;
      return 0;
    }
    const size_t len = strlen(all);
    (void)snprintf(all + len, sizeof(all) - len, "%s%s", i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ", words[i]);
  }
  return dr_usage(call, NULL, "--%s is %s, not \"%s\"", name, all, text);
}

static int32_t take_numbers(struct request *request) {
  struct dr_command_call *call = request->call;
  struct dr_compare_options *options = &request->options;
  uint64_t threads = 0;
  const char *memory = dr_option(call, "memory");
  if (dr_option_number(call, "limit", 0, LIMIT_MAX, &request->limit) != 0) return DR_EXIT_USAGE;
  if (dr_option_number(call, "threads", 1, THREADS_MAX, &threads) != 0) return DR_EXIT_USAGE;
  options->threads = (unsigned)threads;
  if (memory == NULL) return 0;
  if (!dr_parse_size(dray_str_of(memory), &options->memory_bytes) || options->memory_bytes < MEMORY_MIN ||
      options->memory_bytes > MEMORY_MAX) {
    return dr_usage(call, NULL, "--memory is a size of at least 1MiB, such as 512MiB or 1GB, not \"%s\"", memory);
  }
  return 0;
}

static int32_t take_dialect(struct request *request) {
  struct dr_command_call *call = request->call;
  struct dr_side_dialect *dialect = &request->options.dialect;
  const char *delimiter = dr_option(call, "delimiter");
  if (delimiter != NULL && (strcmp(delimiter, "\\t") == 0 || strcmp(delimiter, "\t") == 0)) delimiter = "tab";
  if (delimiter != NULL && strcmp(delimiter, "tab") != 0 &&
      (strlen(delimiter) != 1 || (unsigned char)delimiter[0] < 0x20 || (unsigned char)delimiter[0] >= 0x7F ||
       delimiter[0] == '"')) {
    return dr_usage(call, NULL, "--delimiter is one character of ASCII, or tab, not \"%s\"", delimiter);
  }
  dialect->delimiter = delimiter;
  dialect->no_header = dr_option(call, "no-header") != NULL;
  const int32_t code = take_list(call, "null", 1, &request->nulls);
  dialect->null_values = (const char *const *)request->nulls.items;
  dialect->null_count = request->nulls.count;
  return code;
}

static int32_t take_options(struct request *request) {
  static const char *const formats[] = {"text", "ndjson", "csv", NULL};
  static const char *const policies[] = {"reject", "first", "last", NULL};
  static const int duplicates[] = {DR_DUPLICATES_REJECT, DR_DUPLICATES_FIRST, DR_DUPLICATES_LAST};
  struct dr_command_call *call = request->call;
  struct dr_compare_options *options = &request->options;
  int policy = 0;
  int32_t code = take_list(call, "key", 0, &request->key);
  if (code == 0) code = take_list(call, "columns", 0, &request->columns);
  if (code == 0) code = take_list(call, "exclude", 0, &request->excluded);
  if (code == 0) code = take_types(request);
  if (code == 0) code = take_word(call, "format", formats, &request->format);
  if (code == 0) code = take_word(call, "duplicates", policies, &policy);
  if (code == 0) code = take_numbers(request);
  if (code == 0) code = take_dialect(request);
  if (code != 0) return code;
  if (request->key.count == 0) {
    return dr_usage(call, NULL, "diff needs --key COLUMN[,COLUMN...]: the columns that identify a row");
  }
  request->summary = dr_option(call, "summary") != NULL;
  if (request->summary && request->format == FORMAT_CSV) {
    return dr_usage(call, NULL, "--summary is for text and ndjson, not for csv");
  }
  options->places[DR_COMPARE_OLD] = call->positionals[0];
  options->places[DR_COMPARE_NEW] = call->positionals[1];
  options->key = (const char *const *)request->key.items;
  options->key_count = request->key.count;
  options->columns = (const char *const *)request->columns.items;
  options->column_count = request->columns.count;
  options->excluded = (const char *const *)request->excluded.items;
  options->excluded_count = request->excluded.count;
  options->types = request->types;
  options->type_count = request->type_texts.count;
  options->duplicates = duplicates[policy];
  options->no_sieve = dr_option(call, "no-sieve") != NULL;
  return 0;
}

// ---- the run ----

// What there is to do about an error that speaks of a comparison; NULL: what the table of errors says.
static const char *fix_of(const struct dray_error *error) {
  switch (error->code) {
  case DRAY_E_CONFIG_FILE:
    return "give a file that can be read, or a table as sqlite:PATH#TABLE";
  case DRAY_E_CONFIG_VALUE:
    return "sqlite:PATH#TABLE is for SQLite databases; a file of rows is given by its path alone";
  case DRAY_E_CONFIG_SQL:
    return "try the statement with `sqlite3 PATH` and correct it";
  case DRAY_E_DATA_ENCODING:
    return "fetch the file again; the comparison was not made";
  case DRAY_E_SCHEMA_KEY:
    return "name columns that both sides have with --key; with --no-header they are column_1, column_2, ...";
  case DRAY_E_SCHEMA_COLUMN:
    return "use a column that is there; --no-header if the first record is no header";
  case DRAY_E_SCHEMA_STREAM:
    return "name a table or view of the database: sqlite:PATH#TABLE";
  case DRAY_E_SCHEMA_NAME:
    return "every column needs a name of its own in the header; --no-header if the first record is no header";
  case DRAY_E_USAGE:
    return "`dray diff --help` shows what it takes";
  case DRAY_E_OUT_OF_MEMORY:
    return "free memory, or lower --memory";
  case DRAY_E_DISK_FULL:
    return "free space, or point TMPDIR to a disk with room for a few times OLD's size";
  case DRAY_E_CANCELLED:
    return "run it again";
  default:
    return NULL;
  }
}

// An error ends it: "partial" (3) is for what was told with rows left out, not for a comparison that was not made.
static int32_t print_failure(struct dr_command_call *call, const struct dray_error *error) {
  const int32_t code = dr_print_error_hint(call->output, error, NULL, fix_of(error));
  return code == DR_EXIT_PARTIAL ? DR_EXIT_FAILED : code;
}

static int32_t tell(struct request *request, struct dr_compare *compare, int64_t started_ms, struct dray_error *error) {
  struct dr_output *output = request->call->output;
  struct dr_diff_report report = {&request->options, compare, dr_monotonic_ms() - started_ms, request->limit,
                                  request->summary};
  if (request->format == FORMAT_TEXT) return dr_diff_print(output, &report, error);
  if (request->summary) {
    dr_diff_summary(output, &report);
    return DRAY_OK;
  }
  const int32_t rc =
      request->format == FORMAT_NDJSON ? dr_diff_ndjson(output, compare, error) : dr_diff_csv(output, compare, error);
  if (rc != DRAY_OK) return rc;
  if (fflush(output->data) != 0 && output->failed == 0) output->failed = errno; // the note comes behind the data
  report.took_ms = dr_monotonic_ms() - started_ms;
  dr_diff_note(output, &report);
  return DRAY_OK;
}

static int32_t work(struct dr_watched *watched) {
  struct request *request = watched->ctx;
  struct dr_compare *compare = NULL;
  struct dray_error error;
  const int64_t started_ms = dr_monotonic_ms();
  dray_error_init(&error);
  int32_t code = DR_EXIT_DONE;
  int32_t rc = dr_compare_run(&request->options, &compare, &error);
  if (rc == DRAY_OK) rc = tell(request, compare, started_ms, &error);
  if (rc != DRAY_OK) {
    code = print_failure(watched->call, &error);
  } else if (dr_compare_is_partial(compare)) {
    code = DR_EXIT_PARTIAL;
  } else if (!dr_compare_is_equal(compare)) {
    code = DR_EXIT_CHANGES;
  }
  dr_compare_close(compare);
  return code;
}

// The folder belongs to this process, which outlives the child that works in it, however that ends.
static int32_t run(struct request *request) {
  struct dr_command_call *call = request->call;
  struct dr_scratch_folder folder = {NULL, -1};
  if (dr_scratch_folder_make(&folder, &call->error) != DRAY_OK) {
    return dr_print_error_hint(call->output, &call->error, NULL, "point TMPDIR to a folder that can be written");
  }
  request->options.folder = folder.path;
  const int32_t code = dr_watched_run(call, NULL, "diff", work, request);
  dr_scratch_folder_remove(&folder);
  return code;
}

int32_t cmd_diff(struct dr_command_call *call) {
  struct request request = {.call = call, .options = {.memory_bytes = MEMORY_DEFAULT}, .limit = LIMIT_DEFAULT};
  int32_t code = take_options(&request);
  if (code == 0) code = run(&request);
  free_list(&request.key);
  free_list(&request.columns);
  free_list(&request.excluded);
  free_list(&request.nulls);
  free_list(&request.type_texts);
  free(request.types);
  return code;
}
