// SPDX-License-Identifier: Apache-2.0
// The functions of fmt that its headers only declare, for programs linked statically: Debian has fmt as a shared
// library alone. Its header of definitions becomes an archive here, so that every other file is compiled as it is
// elsewhere.
#include <fmt/format-inl.h>

namespace fmt::detail {

template dragonbox::decimal_fp<float> dragonbox::to_decimal(float) noexcept;
template dragonbox::decimal_fp<double> dragonbox::to_decimal(double) noexcept;
template thousands_sep_result<char> thousands_sep_impl(locale_ref);
template char decimal_point_impl(locale_ref);
template void buffer<char>::append(const char*, const char*);
template void vformat_to(buffer<char>&, string_view, basic_format_args<format_context>, locale_ref);

}  // namespace fmt::detail
