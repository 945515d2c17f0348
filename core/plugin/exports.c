// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a library exports, read from its ELF .dynsym section without running it. A surplus symbol could take the place
// of another plugin's or of the host's own, so one is enough to refuse the library. The file is outside bytes: every
// offset is checked against the file's size.
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "plugin/trust.h"

#define TABLE_BYTES_MAX (64u << 20) // of .dynsym and of .dynstr
#define ENTRY_PREFIX "dray_plugin_entry_v"
#define SHOWN_MAX 8

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "name this machine's ELF number"
#endif

struct library {
  const char *path;
  int fd;
  uint64_t size;
  struct dray_error *error;
};

// What the symbol table was found to hold.
struct exports {
  int has_entry;
  char other_entry[64]; // the entry point of another major, "" when there is none
  size_t surplus;
  char names[512]; // the first surplus ones, with commas
};

static int32_t damaged(const struct library *library, const char *what) {
  return dray_fail(library->error, DRAY_E_PLUGIN_LOAD, "%s is not a library that can be loaded: %s", library->path,
                   what);
}

// Reads a table of the file onto the heap, with a NUL behind it.
static int32_t read_table(const struct library *library, uint64_t offset, uint64_t bytes, void **out) {
  if (bytes > TABLE_BYTES_MAX || offset > library->size || bytes > library->size - offset) {
    return damaged(library, "a table lies outside of the file");
  }
  char *table = malloc(bytes + 1);
  if (table == NULL) return dray_fail(library->error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", library->path);
  const int32_t rc = dr_fd_pread(library->fd, table, (size_t)bytes, offset, library->path, library->error);
  if (rc != DRAY_OK) {
    free(table);
    return rc;
  }
  table[bytes] = '\0';
  *out = table;
  return DRAY_OK;
}

static int32_t read_header(const struct library *library, Elf64_Ehdr *out) {
  if (library->size < sizeof(*out)) return damaged(library, "it is too short for an ELF header");
  DRAY_TRY(dr_fd_pread(library->fd, out, sizeof(*out), 0, library->path, library->error));
  if (memcmp(out->e_ident, ELFMAG, SELFMAG) != 0) return damaged(library, "it is not an ELF file");
  if (out->e_ident[EI_CLASS] != ELFCLASS64 || out->e_ident[EI_DATA] != ELFDATA2LSB || out->e_machine != MACHINE) {
    char what[96];
    (void)snprintf(what, sizeof(what), "it is built for another machine (ELF machine %u, this one is %u)",
                   out->e_machine, MACHINE);
    return damaged(library, what);
  }
  if (out->e_type != ET_DYN) return damaged(library, "it is not a shared object");
  if (out->e_shentsize != sizeof(Elf64_Shdr) || out->e_shnum == 0) return damaged(library, "it has no section table");
  return DRAY_OK;
}

static int is_exported(const Elf64_Sym *symbol) {
  const unsigned bind = ELF64_ST_BIND(symbol->st_info);
  const unsigned visibility = ELF64_ST_VISIBILITY(symbol->st_other);
  return symbol->st_shndx != SHN_UNDEF && bind != STB_LOCAL &&
         (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

static void note_export(struct exports *exports, const char *name) {
  if (strcmp(name, DRAY_PLUGIN_ENTRY_SYMBOL) == 0) {
    exports->has_entry = 1;
    return;
  }
  if (strncmp(name, ENTRY_PREFIX, sizeof(ENTRY_PREFIX) - 1) == 0) {
    (void)snprintf(exports->other_entry, sizeof(exports->other_entry), "%.63s", name);
  }
  if (exports->surplus++ >= SHOWN_MAX) return;
  const size_t used = strlen(exports->names);
  (void)snprintf(exports->names + used, sizeof(exports->names) - used, "%s%.60s", used > 0 ? ", " : "", name);
  for (char *c = exports->names + used; *c != '\0'; c++) {
    if (*c < 0x20 || *c > 0x7E) *c = '?'; // a name is any bytes; the message is text
  }
}

static int32_t read_symbols(const struct library *library, const Elf64_Shdr *symbols, const Elf64_Shdr *strings,
                            struct exports *out) {
  if (symbols->sh_entsize != sizeof(Elf64_Sym) || strings->sh_type != SHT_STRTAB) {
    return damaged(library, "its table of symbols is malformed");
  }
  void *table = NULL;
  void *names = NULL;
  int32_t rc = read_table(library, symbols->sh_offset, symbols->sh_size, &table);
  if (rc == DRAY_OK) rc = read_table(library, strings->sh_offset, strings->sh_size, &names);
  for (uint64_t i = 0; rc == DRAY_OK && i < symbols->sh_size / sizeof(Elf64_Sym); i++) {
    Elf64_Sym symbol;
    memcpy(&symbol, (const char *)table + i * sizeof(symbol), sizeof(symbol));
    if (!is_exported(&symbol)) continue;
    if (symbol.st_name >= strings->sh_size) {
      rc = damaged(library, "the name of a symbol lies outside of its table");
    } else {
      note_export(out, (const char *)names + symbol.st_name);
    }
  }
  free(names);
  free(table);
  return rc;
}

static int32_t read_exports(const struct library *library, struct exports *out) {
  Elf64_Ehdr header;
  DRAY_TRY(read_header(library, &header));
  void *sections = NULL;
  DRAY_TRY(read_table(library, header.e_shoff, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr), &sections));
  const char *at = sections;
  int32_t rc = DRAY_OK;
  int found = 0;
  for (uint32_t i = 0; rc == DRAY_OK && i < header.e_shnum; i++) {
    Elf64_Shdr symbols;
    Elf64_Shdr strings;
    memcpy(&symbols, at + i * sizeof(symbols), sizeof(symbols));
    if (symbols.sh_type != SHT_DYNSYM) continue;
    found = 1;
    if (symbols.sh_link >= header.e_shnum) {
      rc = damaged(library, "its table of symbols is malformed");
      break;
    }
    memcpy(&strings, at + symbols.sh_link * sizeof(strings), sizeof(strings));
    rc = read_symbols(library, &symbols, &strings, out);
  }
  free(sections);
  if (rc == DRAY_OK && !found) rc = damaged(library, "it has no table of dynamic symbols");
  return rc;
}

static int32_t judge(const struct dr_manifest *manifest, const struct exports *exports, struct dray_error *error) {
  if (!exports->has_entry && exports->other_entry[0] != '\0') {
    return dray_fail(
        error, DRAY_E_PLUGIN_ABI,
        "%s is built for plugin ABI %s (it exports %s); this dray has ABI %d: install a build of %s %s for "
        "ABI %d, or the dray that it was made for",
        manifest->library, exports->other_entry + sizeof(ENTRY_PREFIX) - 1, exports->other_entry, DRAY_ABI_MAJOR,
        manifest->name, manifest->version, DRAY_ABI_MAJOR);
  }
  if (exports->surplus > 0) {
    return dray_fail(error, DRAY_E_PLUGIN_EXPORTS,
                     "%s exports %zu symbols besides %s: %s%s; link it with the SDK's export map "
                     "(-Wl,--version-script=export.map) and -fvisibility=hidden",
                     manifest->library, exports->surplus, DRAY_PLUGIN_ENTRY_SYMBOL, exports->names,
                     exports->surplus > SHOWN_MAX ? ", ..." : "");
  }
  if (!exports->has_entry) {
    return dray_fail(error, DRAY_E_PLUGIN_EXPORTS,
                     "%s does not export %s, the entry point of plugin ABI %d; define it and declare it DRAY_EXPORT",
                     manifest->library, DRAY_PLUGIN_ENTRY_SYMBOL, DRAY_ABI_MAJOR);
  }
  return DRAY_OK;
}

int32_t dr_trust_exports(const struct dr_manifest *manifest, struct dray_error *error) {
  struct library library = {manifest->library, -1, 0, error};
  library.fd = open(manifest->library, O_RDONLY | O_CLOEXEC);
  if (library.fd < 0) return dr_fail_errno(error, "open", manifest->library);
  struct exports exports;
  memset(&exports, 0, sizeof(exports));
  struct stat info;
  int32_t rc = DRAY_OK;
  if (fstat(library.fd, &info) != 0) {
    rc = dr_fail_errno(error, "look at", manifest->library);
  } else {
    library.size = (uint64_t)info.st_size;
    rc = read_exports(&library, &exports);
  }
  (void)close(library.fd);
  return rc == DRAY_OK ? judge(manifest, &exports, error) : rc;
}
