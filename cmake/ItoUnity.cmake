# SPDX-License-Identifier: Apache-2.0
# ito_unity(<target> [EXCEPT <regex>]): the target's files of one folder are compiled as one, since most of a file's time
# goes into the headers that its neighbours include as well; those whose path matches stay alone. With ITO_UNITY=OFF each
# is compiled alone: fewer are compiled again after an edit, and a file that leans on its neighbours' includes is seen.
option(ITO_UNITY "Compile the files of a folder as one: a first build is much shorter" ON)

# What several files of a folder call something of their own; each file's is told apart by a name of that file. Anything
# else that two files of a folder both define without a name space of its own is an error ("redefinition of"): give one of
# them another name.
set(ito_own_names kAlgorithm kBatch kClasses kElementsPerBlock kEta kFixed kFlow kGridFile kLambda kMostImages kMostPictured
                  kName kNpzFile kNumbers kOps kOptions kOrder kOrders kOwn kPictureFile kPublished kSamplesFile
                  kSide kSigmaMax kSigmaMin kSolverType kSolverTypes kSolveSteps kStrip kThreads kTypes kUsualFor
                  kUsualNeighbours kZeta)
set(ito_own_names_code "#ifndef ITO_JOIN\n#define ITO_JOIN_(a, b) a##b\n#define ITO_JOIN(a, b) ITO_JOIN_(a, b)\n")
foreach(name ${ito_own_names})
  string(APPEND ito_own_names_code "#define ${name} ITO_JOIN(ITO_FILE, ${name})\n")
endforeach()
string(APPEND ito_own_names_code "#endif\n")

function(ito_unity target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "EXCEPT" "")
  if(NOT ITO_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    if(source MATCHES "\\.(cpp|cu)$" AND (NOT arg_EXCEPT OR NOT source MATCHES "${arg_EXCEPT}"))
      get_filename_component(folder ${source} DIRECTORY)
      file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${folder})
      string(REPLACE / _ group ${folder})
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP UNITY_BUILD_UNIQUE_ID ITO_FILE
                                             UNITY_BUILD_CODE_BEFORE_INCLUDE "${ito_own_names_code}")
endfunction()
