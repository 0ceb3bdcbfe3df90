# mc_room(NAME [COLD] [TORCH] ROOMS ... LINK ...): the static library of one folder mc/NAME; what is COLD is
# compiled faster rather than to run faster.
# TORCH rooms see LibTorch and share one precompiled header; tests have another, and are compiled without
# optimization, which takes half the time.
set(MC_WARNINGS -Wall -Wextra $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local> -Wno-unknown-pragmas
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<BOOL:${MC_WERROR}>:-Werror>)

# Cheaper optimization for code that nobody waits for; not with GCC 13 and later, whose precompiled header,
# compiled with -O2, refuses to serve -O1.
set(MC_COLD $<$<NOT:$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,13>>>:-O1>)

function(mc_compile_options target torch)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE ${MC_WARNINGS})
  if(MC_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MC_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${MC_SANITIZE})
  endif()
  if(torch)
    target_link_libraries(${target} PUBLIC mc_torch)
    get_target_property(type ${target} TYPE)
    if(NOT type STREQUAL STATIC_LIBRARY)
      target_compile_options(${target} PRIVATE -fPIC)  # as the precompiled header was compiled
    endif()
    if("TEST" IN_LIST ARGN)
    elseif(target STREQUAL mc_ops)
      target_precompile_headers(${target} PRIVATE ${PROJECT_SOURCE_DIR}/mc/torch_pch.h)
    else()
      target_precompile_headers(${target} REUSE_FROM mc_ops)
    endif()
  endif()
endfunction()

# mc_test_options(TARGET TORCH): the same for tests, their tools, and examples.
function(mc_test_options target torch)
  mc_compile_options(${target} ${torch} TEST)
  target_compile_options(${target} PRIVATE -O0)
  target_compile_definitions(${target} PRIVATE MC_SOURCE_DIR="${PROJECT_SOURCE_DIR}" GTEST_HAS_PTHREAD=1)
  get_property(owner GLOBAL PROPERTY MC_TEST_PCH_${torch})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    set_property(GLOBAL PROPERTY MC_TEST_PCH_${torch} ${target})
    target_precompile_headers(${target} PRIVATE $<$<BOOL:${torch}>:${PROJECT_SOURCE_DIR}/mc/torch_pch.h>
                              <gmock/gmock.h> <gtest/gtest.h>)
  endif()
endfunction()

function(mc_room name)
  cmake_parse_arguments(arg "COLD;TORCH" "" "ROOMS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/mc/${name}/*.cpp)
  add_library(mc_${name} STATIC ${sources})
  set_target_properties(mc_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(mc_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  foreach(room IN LISTS arg_ROOMS)
    target_link_libraries(mc_${name} PUBLIC mc_${room})
  endforeach()
  target_link_libraries(mc_${name} PUBLIC ${arg_LINK})
  mc_compile_options(mc_${name} "${arg_TORCH}")
  if(arg_COLD)
    target_compile_options(mc_${name} PRIVATE ${MC_COLD})
  endif()
  set_property(GLOBAL APPEND PROPERTY MC_ROOM_TARGETS mc_${name})
endfunction()

# mc_program(NAME FOLDER ROOMS ...): an executable from mc/FOLDER.
function(mc_program name folder)
  cmake_parse_arguments(arg "" "" "ROOMS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/mc/${folder}/*.cpp)
  add_executable(${name} ${sources})
  list(TRANSFORM arg_ROOMS PREPEND mc_)
  target_link_libraries(${name} PRIVATE ${arg_ROOMS})
  mc_compile_options(${name} FALSE)
  target_compile_options(${name} PRIVATE ${MC_COLD})
endfunction()
