# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
#
# What every folder's CMakeLists.txt is written with.

# dray_core_module(NAME module... libraries): core/NAME becomes the static library dr_NAME. Only what is listed can be linked:
# the direction of dependencies is design, not habit (tools/lint checks the includes as well).
function(dray_core_module name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.c)
  if(sources)
    add_library(dr_${name} STATIC ${sources})
    target_include_directories(dr_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(dr_${name} PUBLIC dray_flags ${ARGN})
  else()
    add_library(dr_${name} INTERFACE)
    target_include_directories(dr_${name} INTERFACE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(dr_${name} INTERFACE dray_flags ${ARGN})
  endif()
endfunction()

# dray_plugin(NAME libraries...): the folder's *.c become build/plugins/NAME/NAME.so beside its manifest.json, which gets
# the library's digest. Sees the SDK only; exports only the entry point.
function(dray_plugin name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  set(folder ${CMAKE_BINARY_DIR}/plugins/${name})
  add_library(plugin_${name} MODULE ${sources})
  target_link_libraries(plugin_${name} PRIVATE dray_flags dray_sdk ${ARGN})
  target_link_options(plugin_${name} PRIVATE
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/sdk/abi/export.map -Wl,--exclude-libs,ALL)
  set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${folder}
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/sdk/abi/export.map)
  add_custom_command(TARGET plugin_${name} POST_BUILD
    COMMAND ${CMAKE_COMMAND} -DMANIFEST=${CMAKE_CURRENT_SOURCE_DIR}/manifest.json -DLIBRARY=$<TARGET_FILE:plugin_${name}>
      -P ${PROJECT_SOURCE_DIR}/sdk/cmake/dray_manifest.cmake
    VERBATIM)
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_LIBDIR}/dray/plugins USE_SOURCE_PERMISSIONS FILES_MATCHING PATTERN "*.so" PATTERN "manifest.json"
    PATTERN CMakeFiles EXCLUDE PATTERN tests EXCLUDE)
endfunction()

# dray_unit_tests(MODULE libraries...): each tests/unit/MODULE/test_*.c is one cmocka program; other *.c there are linked into all of them.
function(dray_unit_tests module)
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${module}/test_*.c)
  file(GLOB shared CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${module}/*.c)
  if(tests)
    list(REMOVE_ITEM shared ${tests})
  endif()
  foreach(test ${tests})
    get_filename_component(name ${test} NAME_WE)
    string(REPLACE "test_" "unit_${module}_" target ${name})
    add_executable(${target} ${test} ${shared} ${CMAKE_CURRENT_SOURCE_DIR}/torture.c)
    target_link_options(${target} PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
    target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${target} PRIVATE dray_flags ${ARGN} PkgConfig::CMOCKA)
    add_test(NAME unit.${module}.${name} COMMAND ${target})
    set_tests_properties(unit.${module}.${name} PROPERTIES TIMEOUT 3600)
  endforeach()
endfunction()
