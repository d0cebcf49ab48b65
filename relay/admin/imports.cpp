// /api/v1/account/import: whole files of accounts.
#include "relay/admin/imports.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "auth/account_store.hpp"
#include "auth/digest.hpp"
#include "auth/random.hpp"
#include "proto/address.hpp"
#include "proto/base64.hpp"
#include "relay/admin/account_parts.hpp"
#include "relay/admin/endpoints.hpp"

namespace postern::relay::admin {
namespace {

using auth::ImportedAccount;
using auth::ImportFaults;

constexpr std::size_t of_locked = 0;
constexpr std::size_t of_hash = 1;
constexpr std::size_t of_verifier = 2;
constexpr std::size_t of_cleartext = 3;

std::string new_id() {
    std::string octets(8, '\0');
    auth::system_random()({reinterpret_cast<unsigned char*>(octets.data()), octets.size()});
    return auth::hex(octets);
}

/// What a request says.
struct Part {
    std::optional<std::string> id;  ///< Unset: the first part.
    std::optional<std::string> format;
    std::string domain;
    bool dry_run = false;
    bool more = false;
    proto::Secret data;
};

Checked<Part> read_part(const Request& request) {
    auto fields = Fields::parse(request.body);
    if (!fields) return fields.error();
    Part part;
    auto id = fields->text("import");
    if (!id) return id.error();
    part.id = std::move(*id);
    auto format = fields->text("format");
    if (!format) return format.error();
    part.format = std::move(*format);
    auto domain = fields->text("domain");
    if (!domain) return domain.error();
    part.domain = domain->value_or("");
    const auto dry_run = fields->flag("dry_run");
    if (!dry_run) return dry_run.error();
    part.dry_run = dry_run->value_or(false);
    const auto more = fields->flag("more");
    if (!more) return more.error();
    part.more = more->value_or(false);
    auto data = fields->text("data");
    if (!data) return data.error();
    if (const auto done = fields->done(); !done) return done.error();
    if (!*data) return invalid("is missing; send the file's next octets in base64", "data");
    std::optional<std::string> octets = proto::base64_decode(**data);
    auth::wipe((*data)->data(), (*data)->size());
    if (!octets) return invalid("is no base64", "data");
    part.data = proto::Secret(*octets);
    auth::wipe(octets->data(), octets->size());
    return part;
}

Problem wrong_lines(const ImportFaults& faults) {
    const std::size_t count = faults.count();
    Problem out = invalid(fmt::format("{} {} wrong; nothing was imported", count,
                                      count == 1 ? "line is" : "lines are"));
    for (const auth::ImportFault& fault : faults.kept())
        out.lines.push_back({fault.line, fault.what, fault.right});
    return out;
}

class ImportCall {
  public:
    ImportCall(const Ports& ports, const Request& request)
        : ports_(ports), request_(request), store_(*ports.accounts) {}

    [[nodiscard]] Checked<Answer> run() const {
        auto part = read_part(request_);
        if (!part) return part.error();
        auto claim = part->id ? resume(*part) : begin(*part);
        if (!claim) return claim.error();
        Import& file = **claim;
        if (const auto good = take(file, *part); !good) return good.error();
        if (!part->more) return end(file);
        Json out{{"import", file.id},
                 {"lines", file.reader.lines()},
                 {"accounts", file.accounts.size()}};
        claim->give_back(ports_.now());
        return Answer{std::move(out)};
    }

  private:
    Checked<ImportDesk::Claim> begin(const Part& part) const {
        if (!part.format)
            return invalid("is missing; send csv, dovecot, htpasswd, sasldb or shadow", "format");
        const auto format = auth::parse_import_format(*part.format);
        if (!format) return invalid("is csv, dovecot, htpasswd, sasldb or shadow", "format");
        if (!part.domain.empty() && !proto::parse_mailbox("x@" + part.domain, true))
            return invalid("is no domain; write one like \"example.net\"", "domain");
        auto file = std::make_unique<Import>(*format, part.domain);
        file->format_name = *part.format;
        file->dry_run = part.dry_run;
        auto claim = ports_.imports->begin(std::move(file), ports_.now());
        if (!claim) {
            return Problem{409, "conflict",
                           "another import is under way; wait for its end, or a minute where it "
                           "was broken off",
                           ""};
        }
        return std::move(*claim);
    }

    Checked<ImportDesk::Claim> resume(const Part& part) const {
        if (part.format || !part.domain.empty() || part.dry_run)
            return invalid("is said with the first part alone", "format");
        auto claim = ports_.imports->resume(*part.id, ports_.now());
        if (!claim)
            return not_found("there is no such import: it ended, or waited too long; begin anew");
        return std::move(*claim);
    }

    /// Reads a part; what was wrong so far ends the import where it is too much already.
    Checked<void> take(Import& file, const Part& part) const {
        const std::string_view octets = part.data.reveal();
        file.octets += octets.size();
        if (file.octets > ImportDesk::most_octets) {
            return invalid(fmt::format("the file is longer than {} MiB; import it in pieces",
                                       ImportDesk::most_octets >> 20U));
        }
        file.reader.feed(octets);
        if (!part.more) file.reader.finish();
        std::vector<ImportedAccount> fresh = file.reader.take();
        if (file.accounts.size() + fresh.size() > ImportDesk::most_accounts) {
            return invalid(fmt::format("the file has more than {} accounts; import it in pieces",
                                       ImportDesk::most_accounts));
        }
        if (file.reader.faults().count() >= ImportFaults::most)
            return wrong_lines(file.reader.faults());
        for (const ImportedAccount& account : fresh) ++file.kinds.at(account.proof.index());
        // Part by part: each derivation takes most of a millisecond.
        if (!file.dry_run && file.reader.faults().count() == 0 &&
            !store_.derive(fresh, ports_.stopping))
            return not_ready("the relay is ending; import again when it runs");
        file.accounts.insert(file.accounts.end(), std::make_move_iterator(fresh.begin()),
                             std::make_move_iterator(fresh.end()));
        return {};
    }

    Checked<Answer> end(Import& file) const {
        ImportFaults& faults = file.reader.faults();
        check_plans(file, faults);
        check_frozen(file, faults);
        if (const auto asked = store_.find_there(file.accounts, faults); !asked)
            return from_store(asked.error());
        if (faults.count() > 0) return wrong_lines(faults);
        const std::size_t count = file.accounts.size();
        if (!file.dry_run) {
            const auto done = store_.import_accounts(file.accounts, ports_.now(), faults);
            if (!done) return from_store(done.error());
            if (faults.count() > 0) return wrong_lines(faults);
            tell(ports_, request_, "account_import", "",
                 {{"format", file.format_name}, {"accounts", std::to_string(count)}});
        }
        return Answer{Json{{"matched", count},
                           {"changed", file.dry_run ? 0 : count},
                           {"failed", 0},
                           {"dry_run", file.dry_run},
                           {"lines", file.reader.lines()},
                           {"passed_over", file.reader.passed_over()},
                           {"crypt", file.kinds.at(of_hash)},
                           {"scram", file.kinds.at(of_verifier)},
                           {"cleartext", file.kinds.at(of_cleartext)},
                           {"locked", file.kinds.at(of_locked)}}};
    }

    void check_plans(const Import& file, ImportFaults& faults) const {
        std::map<std::string, bool> known;
        for (const ImportedAccount& account : file.accounts) {
            const auto [at, fresh] = known.emplace(account.plan, true);
            if (fresh) at->second = check_plan(ports_, account.plan).has_value();
            if (!at->second) {
                faults.add(account.line, fmt::format("there is no plan {}", account.plan),
                           "a NAME of the configuration's [limits.NAME]");
            }
        }
    }

    /// As when one is added: mail of a removed account is nobody's to send.
    void check_frozen(const Import& file, ImportFaults& faults) const {
        if (ports_.spool == nullptr) return;
        const auto frozen = ports_.spool->frozen_accounts();
        if (frozen.empty()) return;
        for (const ImportedAccount& account : file.accounts) {
            if (!std::ranges::binary_search(frozen, account.name)) continue;
            EntrySelector left;
            left.accounts = {account.name};
            left.states = {EntryState::frozen, EntryState::active};
            if (ports_.spool->list(left, 1, {}).empty()) continue;
            faults.add(
                account.line, fmt::format("mail of a removed account {} is frozen", account.name),
                fmt::format("take it out first: postern queue drop --account {}", account.name));
        }
    }

    const Ports& ports_;
    const Request& request_;
    auth::AccountStore& store_;
};

}  // namespace

ImportDesk::Claim::~Claim() {
    if (desk_ == nullptr) return;
    const std::scoped_lock lock(desk_->mutex_);
    desk_->busy_ = false;
}

void ImportDesk::Claim::give_back(Time now) {
    ImportDesk* const desk = std::exchange(desk_, nullptr);
    const std::scoped_lock lock(desk->mutex_);
    desk->busy_ = false;
    desk->since_ = now;
    desk->waiting_ = std::move(file_);
}

std::optional<ImportDesk::Claim> ImportDesk::begin(std::unique_ptr<Import> file, Time now) {
    const std::scoped_lock lock(mutex_);
    expire_locked(now);
    if (busy_ || waiting_) return std::nullopt;
    busy_ = true;
    file->id = new_id();
    return Claim(*this, std::move(file));
}

std::optional<ImportDesk::Claim> ImportDesk::resume(std::string_view id, Time now) {
    const std::scoped_lock lock(mutex_);
    expire_locked(now);
    if (!waiting_ || waiting_->id != id) return std::nullopt;
    busy_ = true;
    return Claim(*this, std::move(waiting_));
}

void ImportDesk::expire(Time now) {
    const std::scoped_lock lock(mutex_);
    expire_locked(now);
}

void ImportDesk::expire_locked(Time now) {
    if (waiting_ && now - since_ > patience) waiting_.reset();
}

Checked<Answer> import_endpoint(const Ports& ports, const Request& request) {
    return ImportCall(ports, request).run();
}

}  // namespace postern::relay::admin
