// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Gates: points, holds and places, in one process and between several that share a folder.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "plugin/gate.h"

static char folder[64];

static int setup(void **state) {
  (void)state;
  (void)snprintf(folder, sizeof(folder), "/tmp/dray-gate-XXXXXX");
  return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
  (void)info, (void)kind, (void)where;
  return remove(path);
}

static int teardown(void **state) {
  (void)state;
  return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct dr_gate_terms terms_of(const char *key, double per_second, double capacity, uint32_t places) {
  return (struct dr_gate_terms){dray_str_of(key), folder, per_second, capacity, places};
}

static struct dr_gate *gate_of(const struct dr_gate_terms *terms) {
  struct dr_gate *gate = NULL;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(dr_gate_get(terms, &gate, &error), DRAY_OK);
  return gate;
}

static int try_once(const struct dr_gate_terms *terms, double amount) {
  int place = -1;
  struct dr_gate *gate = gate_of(terms);
  const int in = dr_gate_try(gate, terms, amount, &place);
  if (in) dr_gate_leave(gate, place);
  dr_gate_put(gate);
  return in;
}

// Runs `body` in a child and gives its exit status.
static int in_child(int (*body)(void)) {
  int status = -1;
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) _exit(body());
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// ---- points ----

static int child_takes_seven(void) {
  const struct dr_gate_terms terms = terms_of("account", 0.001, 10, 0);
  return try_once(&terms, 7) ? 0 : 1;
}

static void test_points_taken_by_another_process_are_gone(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0.001, 10, 0);
  assert_int_equal(in_child(child_takes_seven), 0);
  assert_false(try_once(&terms, 4));
  assert_true(try_once(&terms, 3));
  assert_false(try_once(&terms, 1));
}

static void test_keys_and_folders_are_gates_of_their_own(void **state) {
  (void)state;
  struct dr_gate_terms terms = terms_of("account", 0.001, 1, 0);
  assert_true(try_once(&terms, 1));
  assert_false(try_once(&terms, 1));
  terms.key = dray_str_of("other");
  assert_true(try_once(&terms, 1));
  terms.key = dray_str_of("account");
  terms.folder = NULL;
  assert_true(try_once(&terms, 1));
}

static void test_points_come_back_with_time_and_in_order(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 100, 10, 0);
  struct dr_gate *gate = gate_of(&terms);
  struct dray_error error;
  int place = -1;
  dray_error_init(&error);
  const int64_t begun = dr_monotonic_ms();
  for (int i = 0; i < 4; i++) assert_int_equal(dr_gate_enter(gate, &terms, 10, 0, &place, &error), DRAY_OK);
  assert_true(dr_monotonic_ms() - begun >= 300); // 40 points: 10 there, 30 at 100 a second
  dr_gate_put(gate);
}

static void test_more_than_there_can_be_counts_as_all(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0.001, 10, 0);
  assert_true(try_once(&terms, 5000));
  assert_false(try_once(&terms, 1));
}

static int child_takes_four(void) {
  const struct dr_gate_terms terms = terms_of("account", 0.001, 100, 0);
  return try_once(&terms, 4) ? 0 : 1;
}

// 100 in all. This process takes 10 and is answered that 80 are left; 4 of another process are still under way, so 76
// can be taken.
static void test_what_the_other_side_says_counts_less_what_is_under_way(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0.001, 100, 0);
  struct dr_gate *gate = gate_of(&terms);
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(in_child(child_takes_four), 0);
  assert_true(try_once(&terms, 10));
  assert_int_equal(dr_gate_tell(gate, &terms, 80, 10, &error), DRAY_OK);
  assert_false(try_once(&terms, 77));
  assert_true(try_once(&terms, 76));
  assert_int_equal(dr_gate_tell(gate, &terms, 2000, 80, &error), DRAY_OK); // never more than the capacity
  assert_true(try_once(&terms, 100));
  assert_false(try_once(&terms, 1));
  dr_gate_put(gate);
}

// ---- holds ----

static int child_holds(void) {
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 0);
  const struct dr_gate_terms other = terms_of("other", 0, 0, 0);
  struct dr_gate *gate = NULL;
  if (dr_gate_get(&terms, &gate, NULL) != DRAY_OK) return 1;
  dr_gate_hold(gate, 400);
  if (dr_gate_get(&other, &gate, NULL) != DRAY_OK) return 2;
  dr_gate_hold(gate, 200000);
  return 0;
}

static void test_hold_that_another_process_was_told_holds_this_one(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 2);
  struct dr_gate *gate = gate_of(&terms);
  struct dray_error error;
  int place = -1;
  dray_error_init(&error);
  const int64_t begun = dr_monotonic_ms();
  const struct dr_gate_terms other = terms_of("other", 0, 0, 2);
  assert_int_equal(in_child(child_holds), 0);
  assert_false(try_once(&other, 1)); // for minutes; the shorter one may well be over by now
  assert_int_equal(dr_gate_enter(gate, &terms, 1, 0, &place, &error), DRAY_OK);
  assert_true(dr_monotonic_ms() - begun >= 400);
  dr_gate_leave(gate, place);
  dr_gate_put(gate);
}

// ---- places ----

#define CHILDREN 6

// How many are in at once, counted in memory that all share.
struct counted {
  int now, most;
};

static int pass_through(struct counted *counted) {
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 2);
  struct dr_gate *gate = NULL;
  if (dr_gate_get(&terms, &gate, NULL) != DRAY_OK) return 1;
  for (int i = 0; i < 5; i++) {
    int place = -1;
    if (dr_gate_enter(gate, &terms, 1, 0, &place, NULL) != DRAY_OK) return 2;
    const int now = __atomic_add_fetch(&counted->now, 1, __ATOMIC_SEQ_CST);
    int most = __atomic_load_n(&counted->most, __ATOMIC_SEQ_CST);
    while (now > most &&
           !__atomic_compare_exchange_n(&counted->most, &most, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      ;
    // One alone stays in until another is: so much longer than it takes that only a gate for one can outlast it.
    for (int n = 0; n < 60000 && __atomic_load_n(&counted->most, __ATOMIC_SEQ_CST) < 2; n++) usleep(1000);
    usleep(20000);
    __atomic_sub_fetch(&counted->now, 1, __ATOMIC_SEQ_CST);
    dr_gate_leave(gate, place);
  }
  return 0;
}

static void test_processes_share_the_places_of_a_key(void **state) {
  (void)state;
  struct counted *counted = mmap(NULL, sizeof(*counted), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(counted != MAP_FAILED);
  pid_t children[CHILDREN];
  for (int i = 0; i < CHILDREN; i++) {
    children[i] = fork();
    assert_true(children[i] >= 0);
    if (children[i] == 0) _exit(pass_through(counted));
  }
  for (int i = 0; i < CHILDREN; i++) {
    int status = -1;
    assert_int_equal(waitpid(children[i], &status, 0), children[i]);
    assert_int_equal(status, 0);
  }
  assert_int_equal(counted->most, 2); // never more, and not only one
  munmap(counted, sizeof(*counted));
}

static int take_and_stay(int tell) {
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 1);
  struct dr_gate *gate = NULL;
  int place = -1;
  if (dr_gate_get(&terms, &gate, NULL) != DRAY_OK || !dr_gate_try(gate, &terms, 1, &place)) return 1;
  if (write(tell, "in", 2) != 2) return 2;
  for (;;) pause();
}

static void test_place_of_a_killed_process_is_free_again(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 1);
  int told[2], status = 0;
  char word[2];
  assert_int_equal(pipe(told), 0);
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) _exit(take_and_stay(told[1]));
  assert_int_equal(read(told[0], word, 2), 2);
  assert_false(try_once(&terms, 1));
  kill(pid, SIGKILL);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(try_once(&terms, 1));
  close(told[0]);
  close(told[1]);
}

static int child_finds_the_only_place_taken(void) {
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 1);
  return try_once(&terms, 1) ? 1 : 0;
}

// A child of a fork has the parent's gate in its memory, not its place.
static void test_child_of_a_fork_does_not_have_its_parents_place(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 1);
  struct dr_gate *gate = gate_of(&terms);
  int place = -1;
  assert_true(dr_gate_try(gate, &terms, 1, &place));
  assert_int_equal(in_child(child_finds_the_only_place_taken), 0);
  assert_false(try_once(&terms, 1)); // and has not given it back by ending
  dr_gate_leave(gate, place);
  assert_true(try_once(&terms, 1));
  dr_gate_put(gate);
}

static void test_nested_caller_goes_in_although_all_places_are_taken(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 1);
  struct dr_gate *gate = gate_of(&terms);
  struct dray_error error;
  int first = -1, second = -1;
  dray_error_init(&error);
  assert_int_equal(dr_gate_enter(gate, &terms, 1, 0, &first, &error), DRAY_OK);
  assert_int_equal(dr_gate_enter(gate, &terms, 1, 1, &second, &error), DRAY_OK);
  dr_gate_leave(gate, second);
  assert_false(try_once(&terms, 1)); // the first is still in
  dr_gate_leave(gate, first);
  assert_true(try_once(&terms, 1));
  dr_gate_put(gate);
}

// ---- faults ----

static void test_file_that_cannot_be_had_is_an_error(void **state) {
  (void)state;
  struct dr_gate_terms terms = terms_of("account", 1, 1, 1);
  struct dr_gate *gate = NULL;
  struct dray_error error;
  dray_error_init(&error);
  terms.folder = "/proc/no-such-folder";
  assert_int_equal(dr_gate_get(&terms, &gate, &error), DRAY_E_IO);
  assert_non_null(strstr(error.text, "/proc/no-such-folder"));
}

static void cancel(int number) {
  (void)number;
  dr_cancel_request();
}

static int child_is_cancelled(void) {
  const struct dr_gate_terms terms = terms_of("account", 0.5, 10, 0);
  struct dr_gate *gate = NULL;
  struct dray_error error;
  int place = -1;
  dray_error_init(&error);
  if (dr_gate_get(&terms, &gate, &error) != DRAY_OK || !dr_gate_try(gate, &terms, 10, &place)) return 1;
  dr_cancel_request();
  return dr_gate_enter(gate, &terms, 10, 0, &place, &error) == DRAY_E_CANCELLED ? 0 : 2;
}

// What was reserved and not used is given back: the next wait is not longer for it.
static void test_cancelled_wait_takes_nothing(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0.5, 10, 0);
  struct dr_gate *gate = gate_of(&terms);
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(in_child(child_is_cancelled), 0);
  assert_int_equal(dr_gate_tell(gate, &terms, 10, 10, &error), DRAY_OK); // all that is under way is settled
  assert_true(try_once(&terms, 10));
  dr_gate_put(gate);
}

// Another process was stopped at the wrong moment: it has the lock of the file, and keeps it.
static int child_waits_for_the_file(void) {
  const struct dr_gate_terms terms = terms_of("account", 0.5, 10, 1);
  struct dr_gate *gate = NULL;
  struct dray_error error;
  int place = -1;
  dray_error_init(&error);
  if (dr_gate_get(&terms, &gate, &error) != DRAY_OK) return 1;
  (void)signal(SIGTERM, cancel);
  const pid_t parent = getpid();
  const pid_t sender = fork();
  if (sender == 0) {
    (void)usleep(100000);
    _exit(kill(parent, SIGTERM) == 0 ? 0 : 1);
  }
  if (dr_gate_enter(gate, &terms, 1, 0, &place, &error) != DRAY_E_CANCELLED) return 2;
  if (dr_gate_try(gate, &terms, 1, &place)) return 3;
  if (dr_gate_tell(gate, &terms, 5, 0, &error) != DRAY_E_CANCELLED) return 4;
  dr_gate_hold(gate, 1000);
  return 0;
}

static void test_wait_for_a_file_that_another_process_holds_can_be_cancelled(void **state) {
  (void)state;
  struct dr_gate_file *file = NULL;
  struct dr_gate_state held;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(dr_gate_file_open(folder, dray_str_of("account"), &file, &error), DRAY_OK);
  assert_int_equal(dr_gate_file_begin(file, &held, &error), DRAY_OK);
  const pid_t pid = fork();
  if (pid == 0) _exit(child_waits_for_the_file());
  int status = -1;
  for (int turn = 0; turn < 1000 && waitpid(pid, &status, WNOHANG) == 0; turn++) (void)usleep(10000);
  (void)kill(pid, SIGKILL); // where it did not end
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(dr_gate_file_end(file, &held, &error), DRAY_OK);
  dr_gate_file_close(file);
}

// ---- what stands in the file ----

// Opens the one gate file that there is.
static int open_only_file(int flags) {
  int fd = -1;
  DIR *all = opendir(folder);
  assert_non_null(all);
  for (struct dirent *entry = readdir(all); entry != NULL; entry = readdir(all)) {
    if (entry->d_name[0] == '.') continue;
    assert_int_equal(fd, -1);
    fd = openat(dirfd(all), entry->d_name, flags);
  }
  closedir(all);
  assert_true(fd >= 0);
  return fd;
}

static struct dr_gate_state read_state(void) {
  struct dr_gate_state state;
  const int fd = open_only_file(O_RDONLY);
  assert_int_equal(pread(fd, &state, sizeof(state), 0), sizeof(state));
  close(fd);
  return state;
}

static void write_state(const struct dr_gate_state *state) {
  const int fd = open_only_file(O_RDWR);
  assert_int_equal(pwrite(fd, state, sizeof(*state), 0), sizeof(*state));
  close(fd);
}

static void let_a_minute_pass(void) {
  struct dr_gate_state state = read_state();
  state.turned_ms -= 61000;
  write_state(&state);
}

// Four points of a request that failed; others take and settle all the time.
static void test_what_nobody_settles_is_forgotten_however_busy_the_gate_is(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0.001, 100, 0);
  struct dr_gate *gate = gate_of(&terms);
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(in_child(child_takes_four), 0);
  for (int minute = 0; minute < 3; minute++) {
    assert_true(try_once(&terms, 1));
    assert_int_equal(dr_gate_tell(gate, &terms, 90, 1, &error), DRAY_OK);
    assert_int_equal(try_once(&terms, 90), minute == 2); // of the four one minute ago it is not known yet
    if (minute < 2) let_a_minute_pass();
  }
  dr_gate_put(gate);
}

static void test_file_that_is_damaged_is_as_a_new_one(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0.001, 10, 0);
  assert_true(try_once(&terms, 10));
  const struct dr_gate_state good = read_state();
  struct dr_gate_state bad[] = {good, good, good, good, good};
  bad[0].points = NAN;
  bad[1].under_way = -1e9;
  bad[2].held_until_ms = INT64_MAX;
  bad[3].filled_ms = INT64_MAX;
  bad[4].turned_ms = INT64_MIN;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    assert_false(try_once(&terms, 1));
    write_state(&bad[i]);
    if (!try_once(&terms, 10)) fail_msg("damage %zu", i);
  }
}

static void test_hold_is_a_day_at_most(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 1);
  struct dr_gate *gate = gate_of(&terms);
  dr_gate_hold(gate, INT64_MAX);
  assert_false(try_once(&terms, 1));
  assert_true(read_state().held_until_ms <= dr_monotonic_ms() + DR_GATE_HOLD_MS_MAX);
  dr_gate_put(gate);
}

// The descriptor of the gate becomes one that cannot be locked for writing.
static void spoil_descriptor(void) {
  char name[64], target[256];
  for (int fd = 3; fd < 256; fd++) {
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(name, target, sizeof(target) - 1);
    if (n <= 0) continue;
    target[n] = '\0';
    if (strncmp(target, folder, strlen(folder)) != 0) continue;
    const int other = open(target, O_RDONLY | O_CLOEXEC);
    assert_true(other >= 0);
    assert_int_equal(dup2(other, fd), fd);
    close(other);
    return;
  }
  fail_msg("no descriptor of %s", folder);
}

static void test_place_that_cannot_be_asked_for_is_an_error_and_no_wait(void **state) {
  (void)state;
  const struct dr_gate_terms terms = terms_of("account", 0, 0, 1);
  struct dr_gate *gate = gate_of(&terms);
  struct dray_error error;
  int place = -1;
  dray_error_init(&error);
  spoil_descriptor();
  assert_int_equal(dr_gate_enter(gate, &terms, 1, 0, &place, &error), DRAY_E_IO);
  assert_non_null(strstr(error.text, folder));
  assert_false(dr_gate_try(gate, &terms, 1, &place));
  dr_gate_put(gate);
}

#define each(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      each(test_points_taken_by_another_process_are_gone),
      each(test_keys_and_folders_are_gates_of_their_own),
      each(test_points_come_back_with_time_and_in_order),
      each(test_more_than_there_can_be_counts_as_all),
      each(test_what_the_other_side_says_counts_less_what_is_under_way),
      each(test_hold_that_another_process_was_told_holds_this_one),
      each(test_processes_share_the_places_of_a_key),
      each(test_place_of_a_killed_process_is_free_again),
      each(test_child_of_a_fork_does_not_have_its_parents_place),
      each(test_nested_caller_goes_in_although_all_places_are_taken),
      each(test_file_that_cannot_be_had_is_an_error),
      each(test_cancelled_wait_takes_nothing),
      each(test_wait_for_a_file_that_another_process_holds_can_be_cancelled),
      each(test_what_nobody_settles_is_forgotten_however_busy_the_gate_is),
      each(test_file_that_is_damaged_is_as_a_new_one),
      each(test_hold_is_a_day_at_most),
      each(test_place_that_cannot_be_asked_for_is_an_error_and_no_wait),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
