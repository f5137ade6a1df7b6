// SPDX-License-Identifier: Apache-2.0
// See tar_archive.h. libarchive is given the whole map as one block of memory, and then hands out pieces of that very
// block: their addresses are the files' places, which is checked of each.
#include "engine/io/tar_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr uint64_t kBlock = 512;
constexpr size_t kMagicPlace = 257;

uint64_t whole_blocks(uint64_t bytes) {
  return (bytes + kBlock - 1) / kBlock * kBlock;
}

using ArchiveReader = std::unique_ptr<archive, decltype(&archive_read_free)>;

// Newer tars hold names in UTF-8, which libarchive turns into the thread's locale: this one leaves them as they are,
// whatever the user's is.
class NamesInUtf8 {
 public:
  NamesInUtf8() : names_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(::uselocale(names_)) {}
  ~NamesInUtf8() {
    ::uselocale(before_);
    if (names_) ::freelocale(names_);
  }
  NamesInUtf8(const NamesInUtf8&) = delete;
  NamesInUtf8& operator=(const NamesInUtf8&) = delete;

 private:
  locale_t names_, before_;
};

std::string reason(archive* reader) {
  const char* text = archive_error_string(reader);
  return text ? printable(text, 200) : "no reason given";
}

ArchiveReader open_reader(std::span<const uint8_t> file, const std::string& path) {
  ArchiveReader reader(archive_read_new(), archive_read_free);
  ITO_CHECK(reader && archive_read_support_format_tar(reader.get()) == ARCHIVE_OK,
            "libarchive: a reader of tar cannot be made");
  ITO_USER_CHECK(archive_read_open_memory(reader.get(), file.data(), file.size()) == ARCHIVE_OK, path,
                 ": is no tar archive: ", reason(reader.get()));
  return reader;
}

}  // namespace

bool is_tar_file(const std::string& path) {
  const std::vector<uint8_t> start = read_file_start(path, kBlock);
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  if (text.size() == kBlock && text.substr(kMagicPlace).starts_with("ustar")) return true;
  const bool zeros = std::all_of(text.begin(), text.end(), [](char c) { return c == 0; });
  return path.ends_with(".tar") && (zeros || text.substr(0, 4).find_first_of(std::string_view("\x1f\x28\xfd", 3)) != 0);
}

TarArchive::TarArchive(const std::string& path) : file_(path) {
  const std::span<const uint8_t> file = file_.all();
  if (std::all_of(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(std::min<uint64_t>(file.size(), kBlock)),
                  [](uint8_t byte) { return byte == 0; }))
    return;
  const NamesInUtf8 names;
  const ArchiveReader reader = open_reader(file, path);
  uint64_t end = 0;  // of the last member's bytes
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    ITO_USER_CHECK(status == ARCHIVE_OK || status == ARCHIVE_WARN, path, ": is cut short or damaged at byte ",
                   whole_blocks(end), " of ", file.size(), ": ", reason(reader.get()));
    const char* stored_name = archive_entry_pathname(entry);
    Member member{stored_name ? stored_name : "", 0, 0, false};
    const std::string where = path + ": " + printable(member.name, 200);
    if (archive_entry_filetype(entry) == AE_IFDIR) continue;
    member.is_link = archive_entry_hardlink(entry) || archive_entry_filetype(entry) != AE_IFREG;
    if (!member.is_link) {
      ITO_USER_CHECK(archive_entry_sparse_count(entry) == 0, where,
                     ": is stored as a sparse file; pack it anew without");
      member.bytes = static_cast<uint64_t>(std::max<int64_t>(archive_entry_size(entry), 0));
      const void* data = nullptr;
      size_t found = 0;
      int64_t offset = 0;
      const int read = member.bytes ? archive_read_data_block(reader.get(), &data, &found, &offset) : ARCHIVE_EOF;
      const auto* bytes = static_cast<const uint8_t*>(data);
      const bool in_place = bytes >= file.data() + end && bytes < file.data() + file.size() && offset == 0;
      ITO_CHECK(read != ARCHIVE_OK || in_place, where, ": its bytes were not found in the archive's");
      member.place = read == ARCHIVE_OK ? static_cast<uint64_t>(bytes - file.data()) : end;
      ITO_USER_CHECK(member.bytes == 0 || (read == ARCHIVE_OK && member.bytes <= file.size() - member.place), where,
                     ": has ", member.bytes, " bytes, and the archive ends at byte ", file.size(),
                     " in the midst of them; it is cut short");
      end = member.place + member.bytes;
    }
    members_.push_back(std::move(member));
  }
  check_end(end);
}

// Behind the last file there is a block of zeros, and nothing but zeros: an archive that was cut between two files has
// none, and one that was appended to another is not seen by who stops at them.
void TarArchive::check_end(uint64_t end) const {
  const std::span<const uint8_t> file = file_.all();
  const uint64_t blocks_end = whole_blocks(end);
  const auto behind = file.subspan(std::min<uint64_t>(blocks_end, file.size()));
  const auto other = std::find_if(behind.begin(), behind.end(), [](uint8_t byte) { return byte != 0; });
  const auto zeros = static_cast<uint64_t>(other - behind.begin());
  ITO_USER_CHECK(behind.size() >= kBlock, path(), ": ends at byte ", file.size(),
                 " without the block of zeros that ends an archive; it is cut short");
  ITO_USER_CHECK(other == behind.end() || members_.empty() || members_.back().is_link || zeros < kBlock, path(),
                 ": goes on at byte ", blocks_end + zeros,
                 " behind its end; it is several archives in one file: take "
                 "them apart");
}

std::span<const uint8_t> TarArchive::bytes(const Member& member) const {
  return file_.bytes(member.place, member.bytes);
}

}  // namespace ito
