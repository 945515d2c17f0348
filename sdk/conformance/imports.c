// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Failing allocations in somebody else's library: the kit looks up the library's relocations of malloc, calloc and
// realloc (and of free, to count) and points them to its own. Nothing of the plugin is rebuilt and no other library
// is touched. A plugin in C++ gets std::bad_alloc from `new`; what it allocates so is not counted, since its library
// may free it elsewhere.
#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conformance/subject.h"

static _Atomic uint64_t countdown;
static _Atomic int failed;
static _Atomic int64_t live;

static int must_fail(void) {
  uint64_t left = atomic_load(&countdown);
  while (left != 0) {
    if (!atomic_compare_exchange_weak(&countdown, &left, left - 1)) continue;
    if (left != 1) return 0;
    atomic_store(&failed, 1);
    return 1;
  }
  return 0;
}

static void *kit_malloc(size_t size) {
  if (must_fail()) return NULL;
  void *memory = malloc(size);
  if (memory != NULL) atomic_fetch_add(&live, 1);
  return memory;
}

static void *kit_calloc(size_t count, size_t size) {
  if (must_fail()) return NULL;
  void *memory = calloc(count, size);
  if (memory != NULL) atomic_fetch_add(&live, 1);
  return memory;
}

static void *kit_realloc(void *memory, size_t size) {
  if (must_fail()) return NULL;
  void *moved = realloc(memory, size);
  if (memory == NULL && moved != NULL) atomic_fetch_add(&live, 1);
  return moved;
}

static void kit_free(void *memory) {
  if (memory != NULL) atomic_fetch_sub(&live, 1);
  free(memory);
}

// ---- C++: operator new and new[] of the plugin's own C++ library ----

// A function type, as the checks have one.
typedef void *new_fn(size_t size);
static new_fn *real_new, *real_new_array; // what the library's slots held
static void (*throw_bad_alloc)(void);     // std::__throw_bad_alloc()

static void *kit_new(size_t size) {
  if (must_fail()) throw_bad_alloc();
  return real_new(size);
}

static void *kit_new_array(size_t size) {
  if (must_fail()) throw_bad_alloc();
  return real_new_array(size);
}

static const struct {
  const char *name;
  void *replacement;
  new_fn **real; // C++: keeps the function that is replaced
} imports[] = {{"malloc", (void *)kit_malloc, NULL},   {"calloc", (void *)kit_calloc, NULL},
               {"realloc", (void *)kit_realloc, NULL}, {"free", (void *)kit_free, NULL},
               {"_Znwm", (void *)kit_new, &real_new},  {"_Znam", (void *)kit_new_array, &real_new_array}};

// One relocation table of the library (PLT or data).
static size_t patch_table(const struct link_map *map, const ElfW(Rela) * table, size_t count, const ElfW(Sym) * symbols,
                          const char *strings) {
  size_t patched = 0;
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (size_t i = 0; i < count; i++) {
    const size_t symbol = (size_t)(table[i].r_info >> 32);
    if (symbol == 0) continue;
    const char *name = strings + symbols[symbol].st_name;
    for (size_t k = 0; k < sizeof(imports) / sizeof(imports[0]); k++) {
      if (strcmp(name, imports[k].name) != 0 || (imports[k].real != NULL && throw_bad_alloc == NULL)) continue;
      void **slot = (void **)(map->l_addr + table[i].r_offset); // NOLINT: an address of the loader's
      void *start = (void *)((uintptr_t)slot & ~(page - 1));
      if (mprotect(start, page, PROT_READ | PROT_WRITE) != 0) continue; // RELRO made it read-only
      if (imports[k].real != NULL) *(void **)imports[k].real = *slot;
      *slot = imports[k].replacement;
      patched++;
    }
  }
  return patched;
}

size_t imports_patch(const char *library) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
  struct link_map *map = NULL;
  if (handle == NULL || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) return 0;
  const ElfW(Rela) * tables[2] = {NULL, NULL};
  size_t bytes[2] = {0, 0};
  const ElfW(Sym) *symbols = NULL;
  const char *strings = NULL;
  for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
    void *address = (void *)entry->d_un.d_ptr; // glibc has relocated these
    if (entry->d_tag == DT_JMPREL) tables[0] = address;
    if (entry->d_tag == DT_PLTRELSZ) bytes[0] = entry->d_un.d_val;
    if (entry->d_tag == DT_RELA) tables[1] = address;
    if (entry->d_tag == DT_RELASZ) bytes[1] = entry->d_un.d_val;
    if (entry->d_tag == DT_SYMTAB) symbols = address;
    if (entry->d_tag == DT_STRTAB) strings = address;
  }
  if (symbols == NULL || strings == NULL) return 0;
  *(void **)&throw_bad_alloc = dlsym(handle, "_ZSt17__throw_bad_allocv");
  size_t patched = 0;
  for (int i = 0; i < 2; i++) {
    if (tables[i] != NULL) patched += patch_table(map, tables[i], bytes[i] / sizeof(ElfW(Rela)), symbols, strings);
  }
  return patched;
}

int imports_arm(uint64_t n) {
  const int had = atomic_exchange(&failed, 0);
  atomic_store(&countdown, n);
  return had;
}

uint64_t imports_live(void) {
  const int64_t count = atomic_load(&live);
  return count > 0 ? (uint64_t)count : 0;
}
