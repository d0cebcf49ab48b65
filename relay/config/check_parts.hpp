#pragma once

#include <vector>

#include "relay/config/check.hpp"

namespace postern::relay::config {

/// What the user may read again after rights are dropped: the configuration, certificates, keys,
/// secrets.
void check_rights(const Config& config, const RunsAs& user, std::vector<Finding>& out);
/// State and spool: folders that the user can write, room on the disk.
void check_folders(const Config& config, const RunsAs& user, std::vector<Finding>& out);
/// The file of log.target: its folder is there, the user can write it.
void check_log(const Config& config, const RunsAs& user, std::vector<Finding>& out);
/// Each certificate with its key: loads, matches, lasts, has the host's name.
void check_certificates(const Config& config, std::vector<Finding>& out);
/// Who may vouch for clients' certificates, and what they revoked: loads, fits together, lasts.
void check_authority(const Config& config, std::vector<Finding>& out);

/// Whether `user` may do `wanted` (4 read, 2 write, 1 enter) with the file or folder, its parents
/// included; by the rights that stat shows. Empty, or why not.
[[nodiscard]] std::string why_not(const std::string& path, const RunsAs& user, unsigned wanted);

}  // namespace postern::relay::config
