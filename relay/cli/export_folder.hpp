#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace postern::relay::cli {

/// A folder into which messages are written, each a new file that only we may read.
class ExportFolder {
  public:
    /// Made where it is missing.
    [[nodiscard]] static boost::system::result<ExportFolder> open(const std::string& path);
    ExportFolder(ExportFolder&& other) noexcept;
    ExportFolder& operator=(ExportFolder&& other) noexcept;
    ExportFolder(const ExportFolder&) = delete;
    ExportFolder& operator=(const ExportFolder&) = delete;
    ~ExportFolder();

    /// A file that is being written: gone again unless it was finished.
    class NewFile {
      public:
        NewFile(NewFile&& other) noexcept;
        NewFile& operator=(NewFile&& other) noexcept;
        NewFile(const NewFile&) = delete;
        NewFile& operator=(const NewFile&) = delete;
        ~NewFile();
        [[nodiscard]] boost::system::error_code write(std::string_view octets);
        [[nodiscard]] boost::system::error_code finish();

      private:
        friend class ExportFolder;
        NewFile(int folder, std::string name, int descriptor)
            : folder_(folder), name_(std::move(name)), descriptor_(descriptor) {}

        int folder_;
        std::string name_;
        int descriptor_;
    };
    /// Fails where anything has that name, be it a link. The folder must outlive the file.
    [[nodiscard]] boost::system::result<NewFile> make(const std::string& name) const;

  private:
    explicit ExportFolder(int descriptor) : descriptor_(descriptor) {}
    int descriptor_;
};

}  // namespace postern::relay::cli
