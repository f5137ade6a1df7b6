// SPDX-License-Identifier: Apache-2.0
// Names of files in JSON, which is UTF-8, while a name on disk is any bytes: an old disk or an archive from elsewhere
// has others. Such a name is an object, {"hex": "e974e9", "text": "\\xe9t\\xe9"}: the bytes, and something to read.
#pragma once
#include <optional>
#include <string>

#include "engine/io/json_file.h"

namespace ito {

Json json_of_name(const std::string& name);
// Nothing where `value` is not what json_of_name makes of a name.
std::optional<std::string> name_of_json(const Json& value);

}  // namespace ito
