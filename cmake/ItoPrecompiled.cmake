# SPDX-License-Identifier: Apache-2.0
# ito_precompile(<target> [REUSE_FROM <target>] [headers...]): the headers that most of its files include, compiled once.
# Under sanitizers alone, where it saves a second or so of six to eleven a file: other builds share their objects through
# ccache, which precompiled headers would end, and see to it that every file includes what it uses.
function(ito_precompile target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "REUSE_FROM" "")
  if(NOT ITO_SANITIZE)
    return()
  endif()
  if(arg_REUSE_FROM)
    target_precompile_headers(${target} REUSE_FROM ${arg_REUSE_FROM})
  else()
    target_precompile_headers(${target} PRIVATE <algorithm> <cmath> <filesystem> <functional> <map> <memory> <optional>
                                                <span> <sstream> <string> <vector> <nlohmann/json.hpp>
                                                ${arg_UNPARSED_ARGUMENTS})
  endif()
endfunction()
