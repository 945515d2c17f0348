// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 128

static char *caught(FILE *file) {
  const long len = ftell(file);
  assert_true(len >= 0);
  char *text = malloc((size_t)len + 1);
  assert_non_null(text);
  rewind(file);
  assert_int_equal(fread(text, 1, (size_t)len, file), len);
  text[len] = '\0';
  (void)fclose(file);
  return text;
}

struct ran run_line(const struct dr_command *root, const char *line) {
  const char *words[WORDS_MAX + 1];
  int count = 0;
  char *copy = dray_str_dup(dray_str_of(line));
  assert_non_null(copy);
  for (char *at = copy; *at != '\0' && count < WORDS_MAX;) {
    words[count++] = at;
    while (*at != '\0' && *at != ' ') {
      if (*at == '_') *at = ' ';
      at++;
    }
    while (*at == ' ') *at++ = '\0';
  }
  words[count] = NULL;
  FILE *data = tmpfile(), *messages = tmpfile();
  assert_true(data != NULL && messages != NULL);
  struct dr_output output;
  dr_output_init(&output, data, messages);
  struct ran ran = {0};
  ran.code = dr_command_main(root, "1.2.3", count, words, &output);
  ran.data = caught(data);
  ran.messages = caught(messages);
  free(copy);
  return ran;
}

void ran_free(struct ran *ran) {
  free(ran->data);
  free(ran->messages);
}

char *folder_new(void) {
  char *folder = dray_str_dup(dray_str_of("/tmp/dray-cli-XXXXXX"));
  assert_non_null(folder);
  assert_non_null(mkdtemp(folder));
  return folder;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)info;
  (void)kind;
  (void)walk;
  return remove(path);
}

void folder_free(char *folder) {
  assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
  free(folder);
}
