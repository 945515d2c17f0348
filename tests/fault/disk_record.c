// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The recorder: what the linker puts in the place of libc's calls. Every call goes through; those below the recorded
// folder are written down once they have succeeded. A test aborts here on what the model does not know, since a state
// that leaves something out would prove nothing.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "disk.h"

#define FDS_MAX 4096

struct entry {
  int folder, file;
  char name[64];
};

struct open_file {
  int file; // number + 1; 0: not ours
  int sync_failed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX]; // "": not recording
static struct disk_log *record;
static struct entry *entries; // the names as they are now
static size_t entry_count, entry_capacity;
static struct open_file fds[FDS_MAX];
static enum disk_failure failure;
static uint64_t fail_at, fail_seen;
static int struck;
static size_t retried;

static void broken(const char *what, const char *detail) {
  (void)fprintf(stderr, "the recorder does not model this: %s (%s)\n", what, detail);
  abort();
}

static void *room(void *items, size_t count, size_t *capacity, size_t size) {
  if (count < *capacity) return items;
  *capacity = *capacity * 2 + 64;
  items = realloc(items, *capacity * size);
  if (items == NULL) broken("no memory", "log");
  return items;
}

// ---- the log ----

static struct disk_op *log_op(enum disk_kind kind, int file) {
  record->ops = room(record->ops, record->count, &record->capacity, sizeof *record->ops);
  struct disk_op *op = &record->ops[record->count++];
  memset(op, 0, sizeof *op);
  op->kind = kind;
  op->file = file;
  return op;
}

static int add_file(int is_folder) {
  record->files = room(record->files, record->file_count, &record->file_capacity, sizeof *record->files);
  struct disk_start *file = &record->files[record->file_count];
  memset(file, 0, sizeof *file);
  file->is_folder = is_folder;
  file->parent = -1;
  return (int)record->file_count++;
}

static void put_name(char *to, const char *name) {
  if (strlen(name) >= 64) broken("a long name", name);
  memcpy(to, name, strlen(name) + 1);
}

// ---- names ----

static struct entry *find_entry(int folder, const char *name) {
  for (size_t i = 0; i < entry_count; i++) {
    if (entries[i].folder == folder && strcmp(entries[i].name, name) == 0) return &entries[i];
  }
  return NULL;
}

static void add_entry(int folder, const char *name, int file) {
  entries = room(entries, entry_count, &entry_capacity, sizeof *entries);
  entries[entry_count] = (struct entry){.folder = folder, .file = file};
  put_name(entries[entry_count++].name, name);
}

static void drop_entry(int folder, const char *name) {
  struct entry *entry = find_entry(folder, name);
  if (entry != NULL) *entry = entries[--entry_count];
}

// "a/b/.." is "a".
static void drop_parents(char *path) {
  size_t len = strlen(path);
  while (len > 3 && strcmp(path + len - 3, "/..") == 0) {
    path[len - 3] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) break;
    *slash = '\0';
    len = strlen(path);
  }
}

// The absolute form of what a call was given. 0: it is not below the folder.
static int absolute(int at, const char *path, char *out) {
  if (root[0] == '\0') return 0;
  if (path[0] == '/') {
    if (strlen(path) >= PATH_MAX) return 0;
    memcpy(out, path, strlen(path) + 1);
  } else {
    char link[64];
    char from[PATH_MAX];
    if (at == AT_FDCWD) {
      (void)snprintf(link, sizeof link, "/proc/self/cwd");
    } else {
      (void)snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    }
    const ssize_t len = readlink(link, from, sizeof from - 1);
    if (len < 0) return 0;
    from[len] = '\0';
    if (snprintf(out, PATH_MAX, "%s/%s", from, path) >= PATH_MAX) return 0;
  }
  drop_parents(out);
  const size_t len = strlen(root);
  return strncmp(out, root, len) == 0 && (out[len] == '/' || out[len] == '\0');
}

// Splits a path below the folder into the number of its folder and its last name. *name "" means the folder itself.
static int locate(const char *path, const char **name) {
  static _Thread_local char part[64];
  int folder = 0;
  const char *at = path + strlen(root);
  while (*at == '/') at++;
  for (;;) {
    const size_t len = strcspn(at, "/");
    if (len >= sizeof part) broken("a long name", path);
    memcpy(part, at, len);
    part[len] = '\0';
    at += len;
    while (*at == '/') at++;
    if (*at == '\0') break;
    const struct entry *entry = find_entry(folder, part);
    if (entry == NULL) return -1;
    folder = entry->file;
  }
  *name = part;
  return folder;
}

static int number_of(const char *path) {
  const char *name = NULL;
  const int folder = locate(path, &name);
  if (folder < 0 || name[0] == '\0') return folder;
  const struct entry *entry = find_entry(folder, name);
  return entry != NULL ? entry->file : -1;
}

static int new_name(const char *path, int is_folder) {
  const char *name = NULL;
  const int folder = locate(path, &name);
  if (folder < 0) broken("a name in an unknown folder", path);
  const int file = add_file(is_folder);
  struct disk_op *op = log_op(DISK_NAME, file);
  op->folder = folder;
  put_name(op->name, name);
  add_entry(folder, name, file);
  return file;
}

// ---- beginning and ending ----

static void load(const char *path, int file) {
  struct stat info;
  if (stat(path, &info) != 0) broken("stat", path);
  if (!S_ISDIR(info.st_mode)) {
    FILE *from = fopen(path, "r");
    if (from == NULL) broken("open", path);
    record->files[file].len = (uint64_t)info.st_size;
    record->files[file].data = malloc((size_t)info.st_size + 1);
    if (fread(record->files[file].data, 1, (size_t)info.st_size, from) != (size_t)info.st_size) broken("read", path);
    (void)fclose(from);
    return;
  }
  record->files[file].is_folder = 1;
  DIR *folder = opendir(path);
  if (folder == NULL) broken("opendir", path);
  for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
    char child[PATH_MAX];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (snprintf(child, sizeof child, "%s/%s", path, entry->d_name) >= (int)sizeof child) broken("path", path);
    const int number = add_file(0);
    record->files[number].parent = file;
    put_name(record->files[number].name, entry->d_name);
    add_entry(file, entry->d_name, number);
    load(child, number);
  }
  (void)closedir(folder);
}

void disk_record(const char *folder) {
  if (root[0] != '\0') broken("two recordings at once", folder);
  record = calloc(1, sizeof *record);
  if (record == NULL) broken("no memory", folder);
  memset(fds, 0, sizeof fds);
  disk_fail(DISK_WELL, 0);
  entry_count = 0;
  retried = 0;
  load(folder, add_file(1));
  record->found = record->file_count;
  (void)snprintf(root, sizeof root, "%s", folder);
}

size_t disk_position(void) {
  return record != NULL ? record->count : 0;
}

struct disk_log *disk_stop(void) {
  root[0] = '\0';
  struct disk_log *log = record;
  record = NULL;
  return log;
}

void disk_log_free(struct disk_log *log) {
  if (log == NULL) return;
  for (size_t i = 0; i < log->count; i++) free(log->ops[i].data);
  for (size_t i = 0; i < log->file_count; i++) free(log->files[i].data);
  free(log->ops);
  free(log->files);
  free(log);
}

void disk_fail(enum disk_failure what, uint64_t nth) {
  failure = what;
  fail_at = nth;
  fail_seen = 0;
  struck = 0;
}

int disk_failed(void) {
  return struck;
}

size_t disk_retried_syncs(void) {
  return retried;
}

// Counts a call of a kind that is to fail. 1: it does, with errno set. *first: it is the first one that does.
static int fails(enum disk_failure kind, int number, int *first) {
  *first = 0;
  if (failure != kind) return 0;
  const uint64_t seen = ++fail_seen;
  if (seen < fail_at) return 0;
  *first = seen == fail_at;
  if (kind == DISK_SYNC_FAILS_AT && !*first) return 0;
  struck = 1;
  errno = number;
  return 1;
}

// For calls that take room.
static int no_room(int *first) {
  return fails(DISK_FULL_AT, ENOSPC, first) || fails(DISK_DEAD_AT, EIO, first);
}
// For the others that change something.
static int dead(void) {
  int first = 0;
  return fails(DISK_DEAD_AT, EIO, &first);
}

static int ours(int fd) {
  return root[0] != '\0' && fd >= 0 && fd < FDS_MAX && fds[fd].file != 0;
}

// ---- opening ----

static void opened(int fd, const char *path, int flags, int existed) {
  int file = number_of(path);
  if (fd >= FDS_MAX) broken("a high descriptor", path);
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    file = add_file(0);
  } else if (file < 0) {
    if ((flags & O_CREAT) == 0 || existed) broken("a file that nobody made", path);
    file = new_name(path, 0);
  } else if ((flags & O_TRUNC) != 0) {
    log_op(DISK_SIZE, file)->len = 0;
  }
  fds[fd] = (struct open_file){.file = file + 1};
}

int __real_open64(const char *path, int flags, ...);
int __real_openat64(int at, const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_openat64(int at, const char *path, int flags, ...);

static int open_at(int at, const char *path, int flags, mode_t mode) {
  char full[PATH_MAX];
  int first = 0;
  (void)pthread_mutex_lock(&lock);
  const int mine = absolute(at, path, full);
  const int existed = mine && faccessat(at, path, F_OK, 0) == 0;
  const int makes = mine && !existed && (flags & O_CREAT) != 0;
  const int cuts = mine && existed && (flags & O_TRUNC) != 0;
  const int refused = (makes && no_room(&first)) || (cuts && dead());
  const int fd = refused ? -1 : __real_openat64(at, path, flags, mode);
  if (mine && fd >= 0) opened(fd, full, flags, existed);
  (void)pthread_mutex_unlock(&lock);
  return fd;
}

static mode_t mode_of(int flags, va_list list) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? (mode_t)va_arg(list, unsigned) : 0;
}

int __wrap_open64(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return open_at(AT_FDCWD, path, flags, mode);
}

int __wrap_openat64(int at, const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return open_at(at, path, flags, mode);
}

// What _FORTIFY_SOURCE makes of an open without a mode.
int __wrap___open64_2(const char *path, int flags);
int __wrap___open64_2(const char *path, int flags) {
  return open_at(AT_FDCWD, path, flags, 0);
}
int __wrap___openat64_2(int at, const char *path, int flags);
int __wrap___openat64_2(int at, const char *path, int flags) {
  return open_at(at, path, flags, 0);
}

int __real_mkstemp64(char *path);
int __wrap_mkstemp64(char *path);
int __wrap_mkstemp64(char *path) {
  char full[PATH_MAX];
  int first = 0;
  (void)pthread_mutex_lock(&lock);
  const int mine = absolute(AT_FDCWD, path, full);
  const int fd = mine && no_room(&first) ? -1 : __real_mkstemp64(path);
  if (mine && fd >= 0 && absolute(AT_FDCWD, path, full)) opened(fd, full, O_CREAT | O_RDWR, 0);
  (void)pthread_mutex_unlock(&lock);
  return fd;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
  (void)pthread_mutex_lock(&lock);
  if (ours(fd)) fds[fd].file = 0;
  (void)pthread_mutex_unlock(&lock);
  return __real_close(fd);
}

// ---- writing ----

static void wrote(int fd, const void *data, size_t len, off_t offset) {
  struct disk_op *op = log_op(DISK_WRITE, fds[fd].file - 1);
  op->offset = (uint64_t)offset;
  op->len = len;
  op->data = malloc(len + 1);
  if (op->data == NULL) broken("no memory", "write");
  memcpy(op->data, data, len);
}

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t offset);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset);

// A disk that is about to be full takes the first half; so does one that loses its process.
static int take_half(size_t *len) {
  int first = 0;
  if (!no_room(&first)) return 1;
  if (!first || *len < 2) return 0;
  *len /= 2;
  return 1;
}

ssize_t __wrap_write(int fd, const void *data, size_t len) {
  ssize_t n = -1;
  (void)pthread_mutex_lock(&lock);
  if (!ours(fd)) {
    n = __real_write(fd, data, len);
  } else if (take_half(&len)) {
    if ((fcntl(fd, F_GETFL) & O_APPEND) != 0) broken("O_APPEND", "write");
    const off_t offset = lseek(fd, 0, SEEK_CUR);
    n = __real_write(fd, data, len);
    if (n > 0) wrote(fd, data, (size_t)n, offset);
  }
  (void)pthread_mutex_unlock(&lock);
  return n;
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset) {
  ssize_t n = -1;
  (void)pthread_mutex_lock(&lock);
  if (!ours(fd)) {
    n = __real_pwrite64(fd, data, len, offset);
  } else if (take_half(&len)) {
    n = __real_pwrite64(fd, data, len, offset);
    if (n > 0) wrote(fd, data, (size_t)n, offset);
  }
  (void)pthread_mutex_unlock(&lock);
  return n;
}

// One vector after the other: a short count is allowed, and the caller goes on.
ssize_t __wrap_writev(int fd, const struct iovec *vectors, int count);
ssize_t __wrap_writev(int fd, const struct iovec *vectors, int count) {
  ssize_t sum = 0;
  for (int i = 0; i < count; i++) {
    const ssize_t n = __wrap_write(fd, vectors[i].iov_base, vectors[i].iov_len);
    if (n < 0) return sum > 0 ? sum : n;
    sum += n;
    if ((size_t)n < vectors[i].iov_len) break;
  }
  return sum;
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *vectors, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *vectors, int count, off_t offset) {
  ssize_t sum = 0;
  for (int i = 0; i < count; i++) {
    const ssize_t n = __wrap_pwrite64(fd, vectors[i].iov_base, vectors[i].iov_len, offset + sum);
    if (n < 0) return sum > 0 ? sum : n;
    sum += n;
    if ((size_t)n < vectors[i].iov_len) break;
  }
  return sum;
}

int __real_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len) {
  (void)pthread_mutex_lock(&lock);
  const int rc = ours(fd) && dead() ? -1 : __real_ftruncate64(fd, len);
  if (rc == 0 && ours(fd)) log_op(DISK_SIZE, fds[fd].file - 1)->len = (uint64_t)len;
  (void)pthread_mutex_unlock(&lock);
  return rc;
}

// ---- syncing ----

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fsync(int fd) {
  int rc = -1, first = 0;
  (void)pthread_mutex_lock(&lock);
  if (!ours(fd)) {
    rc = __real_fsync(fd);
  } else if (fails(DISK_SYNC_FAILS_AT, EIO, &first)) {
    fds[fd].sync_failed = 1;
    log_op(DISK_SYNC_FAILED, fds[fd].file - 1);
  } else if (dead()) {
    rc = -1;
  } else { // nothing here is about the machine's own disk
    if (fds[fd].sync_failed) retried++;
    log_op(DISK_SYNC, fds[fd].file - 1);
    rc = 0;
  }
  (void)pthread_mutex_unlock(&lock);
  return rc;
}

int __wrap_fdatasync(int fd) {
  return __wrap_fsync(fd);
}

// ---- names ----

int __real_renameat(int from_at, const char *from, int to_at, const char *to);
int __wrap_renameat(int from_at, const char *from, int to_at, const char *to);
int __wrap_rename(const char *from, const char *to);

int __wrap_renameat(int from_at, const char *from, int to_at, const char *to) {
  char full_from[PATH_MAX], full_to[PATH_MAX];
  int first = 0;
  (void)pthread_mutex_lock(&lock);
  const int mine = absolute(from_at, from, full_from), lands = absolute(to_at, to, full_to);
  if (mine != lands) broken("a rename across the border", to);
  const int rc = mine && no_room(&first) ? -1 : __real_renameat(from_at, from, to_at, to);
  if (rc == 0 && mine) {
    const char *name = NULL;
    char old_name[64];
    const int folder = locate(full_from, &name);
    put_name(old_name, name);
    const struct entry *entry = find_entry(folder, old_name);
    if (entry == NULL) broken("a rename of a file that nobody made", from);
    struct disk_op *op = log_op(DISK_RENAME, entry->file);
    op->folder = folder;
    put_name(op->name, old_name);
    if (locate(full_to, &name) != folder) broken("a rename into another folder", to);
    put_name(op->new_name, name);
    drop_entry(folder, op->new_name);
    drop_entry(folder, old_name);
    add_entry(folder, op->new_name, op->file);
  }
  (void)pthread_mutex_unlock(&lock);
  return rc;
}

int __wrap_rename(const char *from, const char *to) {
  return __wrap_renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int __real_unlinkat(int at, const char *path, int flags);
int __wrap_unlinkat(int at, const char *path, int flags);
int __wrap_unlink(const char *path);
int __wrap_rmdir(const char *path);

int __wrap_unlinkat(int at, const char *path, int flags) {
  char full[PATH_MAX];
  (void)pthread_mutex_lock(&lock);
  const int mine = absolute(at, path, full);
  const int rc = mine && dead() ? -1 : __real_unlinkat(at, path, flags);
  if (rc == 0 && mine) {
    const char *name = NULL;
    const int folder = locate(full, &name);
    const struct entry *entry = folder >= 0 ? find_entry(folder, name) : NULL;
    if (entry == NULL) broken("the removal of a file that nobody made", path);
    struct disk_op *op = log_op(DISK_UNNAME, entry->file);
    op->folder = folder;
    put_name(op->name, name);
    drop_entry(folder, op->name);
  }
  (void)pthread_mutex_unlock(&lock);
  return rc;
}

int __wrap_unlink(const char *path) {
  return __wrap_unlinkat(AT_FDCWD, path, 0);
}
int __wrap_rmdir(const char *path) {
  return __wrap_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int __real_mkdirat(int at, const char *path, mode_t mode);
int __wrap_mkdirat(int at, const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);

int __wrap_mkdirat(int at, const char *path, mode_t mode) {
  char full[PATH_MAX];
  int first = 0;
  (void)pthread_mutex_lock(&lock);
  const int mine = absolute(at, path, full);
  const int there = faccessat(at, path, F_OK, 0) == 0;
  const int rc = mine && !there && no_room(&first) ? -1 : __real_mkdirat(at, path, mode);
  if (rc == 0 && mine) (void)new_name(full, 1);
  (void)pthread_mutex_unlock(&lock);
  return rc;
}

int __wrap_mkdir(const char *path, mode_t mode) {
  return __wrap_mkdirat(AT_FDCWD, path, mode);
}

// ---- what is not modelled ----

#define REFUSE(result, name, parameters, fd_used, call)                                                                \
  result __real_##name parameters;                                                                                     \
  result __wrap_##name parameters;                                                                                     \
  result __wrap_##name parameters {                                                                                    \
    if (fd_used) broken(#name, "on a file of the folder");                                                             \
    return __real_##name call;                                                                                         \
  }

REFUSE(int, fallocate64, (int fd, int mode, off_t offset, off_t len), ours(fd), (fd, mode, offset, len))
REFUSE(int, posix_fallocate64, (int fd, off_t offset, off_t len), ours(fd), (fd, offset, len))
REFUSE(ssize_t, copy_file_range, (int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags), ours(out),
       (in, in_at, out, out_at, len, flags))
REFUSE(ssize_t, sendfile64, (int out, int in, off_t *at, size_t len), ours(out), (out, in, at, len))
REFUSE(int, linkat, (int from_at, const char *from, int to_at, const char *to, int flags), root[0] != '\0',
       (from_at, from, to_at, to, flags))
REFUSE(int, link, (const char *from, const char *to), root[0] != '\0', (from, to))
REFUSE(int, dup, (int fd), ours(fd), (fd))
REFUSE(void *, mmap64, (void *at, size_t len, int protection, int flags, int fd, off_t offset),
       (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0 && ours(fd),
       (at, len, protection, flags, fd, offset))
