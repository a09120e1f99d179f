# Bugs planted in the real kernels. Each .mutant file names a source below cuda/, the units (.cu files) that include it, the tests
# that must fail, the text to replace, which must occur exactly once, and what it becomes. A mutant is the emulated library with those
# units compiled anew; nativelm_tests_planted runs the native tests against each. A change of a kernel that makes a mutant's text
# disappear fails the build, so a mutant cannot go stale unseen.
#
#   cmake --build artifacts/native --target nativelm_tests_planted && artifacts/native/nativelm_tests_planted
file(GLOB mutants CONFIGURE_DEPENDS tests/planted/*.mutant)
file(GLOB_RECURSE mutable_sources CONFIGURE_DEPENDS cuda/*)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${mutants})
set(planted_table "")

function(nativelm_field mutant field result)
  file(STRINGS ${mutant} line REGEX "^${field}: " LIMIT_COUNT 1)
  string(REGEX REPLACE "^${field}: " "" value "${line}")
  if(value STREQUAL "")
    message(FATAL_ERROR "${mutant} has no line '${field}: …'")
  endif()
  set(${result} "${value}" PARENT_SCOPE)
endfunction()

foreach(mutant ${mutants})
  get_filename_component(name ${mutant} NAME_WE)
  nativelm_field(${mutant} units units)
  nativelm_field(${mutant} tests tests)
  set(folder ${CMAKE_BINARY_DIR}/planted/${name})
  add_custom_command(OUTPUT ${folder}/planted
    COMMAND ${CMAKE_COMMAND} -DMUTANT=${mutant} -DSOURCES=${CMAKE_SOURCE_DIR}/cuda -DFOLDER=${folder} -P ${CMAKE_SOURCE_DIR}/tests/planted/plant.cmake
    DEPENDS ${mutant} ${mutable_sources} tests/planted/plant.cmake VERBATIM)
  separate_arguments(units)
  set(wrappers "")
  foreach(unit ${units})
    file(CONFIGURE OUTPUT ${folder}/${unit}.cpp CONTENT "#include \"${folder}/cuda/${unit}.cu\"\n" @ONLY)
    set_source_files_properties(${folder}/${unit}.cpp PROPERTIES OBJECT_DEPENDS ${folder}/planted)
    list(APPEND wrappers ${folder}/${unit}.cpp)
  endforeach()
  list(JOIN units "|" pattern)
  set(others "$<FILTER:$<TARGET_OBJECTS:nativelm_emulated>,EXCLUDE,/emulated/(${pattern})[.]cpp>")
  add_library(planted_${name} SHARED EXCLUDE_FROM_ALL ${wrappers} ${others} $<TARGET_OBJECTS:emulator>)
  nativelm_library(planted_${name})
  target_include_directories(planted_${name} BEFORE PRIVATE ${folder}/cuda)
  target_link_libraries(planted_${name} PRIVATE emulated_code)
  # A bug may leave a variable unused.
  target_compile_options(planted_${name} PRIVATE -Wno-error)
  set_target_properties(planted_${name} PROPERTIES CXX_STANDARD 17 OUTPUT_NAME nativelm_emulated LIBRARY_OUTPUT_DIRECTORY ${folder})
  list(APPEND planted_libraries planted_${name})
  string(APPEND planted_table "{\"${name}\", \"${folder}\", \"${tests}\"},\n")
endforeach()

file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/planted/planted_kernels.inc CONTENT "${planted_table}" @ONLY)
add_executable(nativelm_tests_planted EXCLUDE_FROM_ALL tests/planted/main.cpp)
target_include_directories(nativelm_tests_planted PRIVATE tests ${CMAKE_BINARY_DIR}/planted)
add_dependencies(nativelm_tests_planted nativelm_tests_emulated ${planted_libraries})
