// SPDX-License-Identifier: Apache-2.0
// Folders as people have them: classes with folders of their own, splits of every name, wrappers of archives, files of
// other kinds, links.
#include "engine/data/image_tree.h"

#include <filesystem>

#include "tests/engine/io/temp_folder.h"
#include "tests/warnings_kept.h"

namespace ito {
namespace {

using Names = std::vector<std::string>;

class ImageTrees : public testing::Test {
 protected:
  void add(const Names& names) {
    for (const std::string& name : names) folder_.write(name, "");
  }
  // Paths below the folder.
  Names found(Split split = Split::Train, const std::string& below = "") {
    tree_ = find_images(below.empty() ? folder_.path() : folder_ / below, split);
    Names names;
    for (const std::string& path : tree_.images) names.push_back(path.substr(folder_.path().size() + 1));
    return names;
  }
  // The warnings, with FOLDER for the folder's path.
  Names told() const {
    Names all = WarningsKept::all();
    for (std::string& text : all)
      for (size_t at; (at = text.find(folder_.path())) != std::string::npos;)
        text.replace(at, folder_.path().size(), "FOLDER");
    return all;
  }
  std::string refused(Split split = Split::Train) {
    std::string text = message_of([&] { find_images(folder_.path(), split); });
    for (size_t at; (at = text.find(folder_.path())) != std::string::npos;)
      text.replace(at, folder_.path().size(), "FOLDER");
    return text;
  }

  TempFolder folder_;
  WarningsKept warnings_;
  ImageTree tree_;
};

TEST_F(ImageTrees, ClassesReachDown) {
  add({"sea/b.png", "sea/deep/er/a.jpg", "land/x.JPEG", "sky/old/1.jfif", "sky/new/2.jpe"});
  EXPECT_EQ(found(), (Names{"land/x.JPEG", "sea/b.png", "sea/deep/er/a.jpg", "sky/new/2.jpe", "sky/old/1.jfif"}));
  EXPECT_EQ(tree_.labels, (std::vector<int32_t>{0, 1, 1, 2, 2}));
  EXPECT_EQ(tree_.class_names, (Names{"land", "sea", "sky"}));
  EXPECT_TRUE(told().empty());
}

TEST_F(ImageTrees, OtherFilesAreCounted) {
  add({"1.png", "list.TXT", "b.heic", "a.heic", "README", ".DS_Store", "__MACOSX/._1.png"});
  EXPECT_EQ(found(), Names{"1.png"});
  EXPECT_EQ(told(),
            Names{"FOLDER: passed over 4 files that are no PNG or JPEG by name: 1 without an extension, 2 .heic, "
                  "1 .txt (FOLDER/README, ...)"});
}

TEST_F(ImageTrees, OneOtherFileIsSingular) {
  add({"1.png", "captions.csv"});
  found();
  EXPECT_EQ(told(), Names{"FOLDER: passed over 1 file that is no PNG or JPEG by name: 1 .csv (FOLDER/captions.csv)"});
}

// Names of archives may hold any bytes: a message of them is one printable line, and no long one.
TEST_F(ImageTrees, MessagesArePrintableAndShort) {
  add({"1.png", "\x1b[2J.a\nb", "\xff.txt"});
  std::vector<std::string> many;
  for (char c = 'a'; c <= 'z'; ++c) many.push_back(std::string("x.") + c + c);
  add(many);
  found();
  EXPECT_EQ(
      told(),
      Names{"FOLDER: passed over 28 files that are no PNG or JPEG by name: 1 .a\\x0ab, 1 .aa, 1 .bb, 1 .cc, 1 .dd, "
            "1 .ee, 1 .ff, 1 .gg, 20 more (FOLDER/\\x1b[2J.a\\x0ab, ...)"});
  NamedTree tree("a.tar");
  tree.add("1.png");
  tree.add(std::string(600, 'x') + "/a.txt");
  find_images(tree, "a.tar", Split::Train);
  EXPECT_EQ(told().at(1), "..." + std::string(200, 'x') + ": holds no images, so it is no class");
}

TEST_F(ImageTrees, AClassOfPicturesThatAreNotReadIsRefused) {
  add({"a/1.png", "b/1.bmp", "b/more/2.tif", "b/notes.txt", "c/1.png"});
  EXPECT_EQ(refused(),
            "FOLDER/b: holds pictures (1 .bmp, 1 .tif, 1 .txt) and none that is read; convert them to PNG or JPEG, or "
            "take the folder out, since it would be a class");
}

TEST_F(ImageTrees, AFolderWithoutImagesIsNoClass) {
  add({"a/1.png", "b/list.txt", "c/1.png"});
  std::filesystem::create_directory(folder_ / "aa");
  EXPECT_EQ(found(), (Names{"a/1.png", "c/1.png"}));
  EXPECT_EQ(tree_.class_names, (Names{"a", "c"}));
  EXPECT_EQ(told(),
            (Names{"FOLDER/aa: holds no images, so it is no class", "FOLDER/b: holds no images, so it is no class",
                   "FOLDER: passed over 1 file that is no PNG or JPEG by name: 1 .txt (FOLDER/b/list.txt)"}));
}

TEST_F(ImageTrees, NoImagesSaysWhatThereIs) {
  add({"x.npy", "y.npy"});
  EXPECT_EQ(refused(),
            "FOLDER: has no .png, .jpg or .jpeg images, neither in it nor in its sub-folders; it holds 2 .npy");
}

TEST_F(ImageTrees, SplitsOfEveryName) {
  add({"Training/1.png", "validation/2.png", "extra/3.png", "4.png"});
  EXPECT_EQ(found(), Names{"Training/1.png"});
  EXPECT_TRUE(tree_.labels.empty());
  EXPECT_EQ(told(),
            (Names{"FOLDER/extra: is passed over, since Training beside it is a split of the data",
                   "FOLDER: 1 images beside the folder Training are passed over, since that is a split of the data"}));
  EXPECT_EQ(found(Split::Test), Names{"validation/2.png"});
}

TEST_F(ImageTrees, TestGoesBeforeValidation) {
  add({"train/a/1.png", "valid/a/2.png", "test/a/3.png"});
  EXPECT_EQ(found(), Names{"train/a/1.png"});
  EXPECT_EQ(tree_.class_names, Names{"a"});
  EXPECT_EQ(found(Split::Test), Names{"test/a/3.png"});
}

TEST_F(ImageTrees, TrainAloneServesForBoth) {
  add({"train/a/1.png", "train/b/2.png"});
  EXPECT_EQ(found(), (Names{"train/a/1.png", "train/b/2.png"}));
  EXPECT_EQ(tree_.class_names, (Names{"a", "b"}));
  EXPECT_EQ(found(Split::Test).size(), 2u);
}

TEST_F(ImageTrees, NothingToTrainOn) {
  add({"dev/1.png", "test/2.png"});
  EXPECT_EQ(refused(), "FOLDER: has a folder test and none for training; give FOLDER/test itself to train on it");
  EXPECT_EQ(found(Split::Test), Names{"test/2.png"});
}

TEST_F(ImageTrees, AClassMayBeCalledTest) {
  add({"test/1.png", "exam/2.png"});
  EXPECT_EQ(found(), (Names{"exam/2.png", "test/1.png"}));
  EXPECT_EQ(tree_.class_names, (Names{"exam", "test"}));
}

TEST_F(ImageTrees, TheFolderOfAnArchiveIsLookedInto) {
  add({"pets-v2/cat/1.png", "pets-v2/dog/2.png", "pets-v2/licence.txt", "__MACOSX/pets-v2/._cat"});
  EXPECT_EQ(found(), (Names{"pets-v2/cat/1.png", "pets-v2/dog/2.png"}));
  EXPECT_EQ(tree_.class_names, (Names{"cat", "dog"}));
}

TEST_F(ImageTrees, SplitsInsideAnArchivesFolder) {
  add({"pets-v2/train/1.png", "pets-v2/val/2.png"});
  EXPECT_EQ(found(), Names{"pets-v2/train/1.png"});
  EXPECT_EQ(found(Split::Test), Names{"pets-v2/val/2.png"});
}

TEST_F(ImageTrees, ATestSplitIsNoWrapper) {
  add({"test/cat/1.png", "test/dog/2.png"});
  EXPECT_EQ(refused(), "FOLDER: has a folder test and none for training; give FOLDER/test itself to train on it");
}

TEST_F(ImageTrees, LinksThatLeadBackEnd) {
  add({"a/1.png", "b/2.png"});
  std::filesystem::create_directory_symlink("..", folder_ / "a/up");
  std::filesystem::create_directory_symlink("../../b", folder_ / "a/side");
  std::filesystem::remove(folder_ / "a/side");
  std::filesystem::create_directory_symlink("../b", folder_ / "a/side");
  EXPECT_EQ(found(), (Names{"a/1.png", "a/side/2.png", "a/up/b/2.png", "b/2.png"}));
  EXPECT_EQ(told(), Names{"FOLDER/a/up/a: is a link to a folder that it is in; passed over"});
}

}  // namespace
}  // namespace ito
