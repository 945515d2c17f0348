# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
#
# One interface target, dray_flags, carries the language, the warnings, the hardening and the sanitizers.
option(DRAY_WERROR "warnings are errors" OFF)
set(DRAY_SANITIZE "" CACHE STRING "sanitizers, e.g. address,undefined or thread")
option(DRAY_COVERAGE "instrument for coverage" OFF)
option(DRAY_FUZZ "build the fuzz targets (clang)" OFF)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # GNU C: __int128 for decimals, cleanup-free; POSIX names
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)

add_library(dray_flags INTERFACE)
target_compile_definitions(dray_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_compile_options(dray_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wpointer-arith -Wcast-qual -Wvla -Wundef
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
  -fno-strict-aliasing -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
  -fno-delete-null-pointer-checks -fno-strict-overflow)
target_link_options(dray_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
if(NOT DRAY_SANITIZE AND CMAKE_BUILD_TYPE MATCHES "Rel")
  target_compile_definitions(dray_flags INTERFACE _FORTIFY_SOURCE=3)
endif()
if(DRAY_WERROR)
  target_compile_options(dray_flags INTERFACE -Werror)
endif()
if(DRAY_SANITIZE)
  target_compile_options(dray_flags INTERFACE -fsanitize=${DRAY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(dray_flags INTERFACE -fsanitize=${DRAY_SANITIZE})
endif()
if(DRAY_COVERAGE)
  target_compile_options(dray_flags INTERFACE --coverage)
  target_link_options(dray_flags INTERFACE --coverage)
endif()
