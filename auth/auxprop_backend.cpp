#include "auth/auxprop_backend.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <sasl/prop.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <unistd.h>

#include "auth/digest.hpp"
#include "auth/sasl_callback.hpp"
#include "auth/saslprep.hpp"

namespace postern::auth {
namespace {

using Kind = BackendAnswer::Kind;
using clock = std::chrono::steady_clock;

constexpr const char* password_property = "*userPassword";

/// One look into the store: what Cyrus asks us meanwhile, and what its plug-in lets us hear.
struct Look {
    const std::string& kind;
    bool asked = false;          ///< The store's plug-in has been named.
    bool nothing_there = false;  ///< The sql plug-in found no row. It calls a failed query, too, an
                                 ///< absent user, but says this only of a query that went through.
    std::string complaint;       ///< The last word of an error.
};

std::string on_one_line(std::string_view text) {
    std::string out(text.substr(0, 300));
    std::ranges::replace_if(
        out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
    while (out.ends_with(' ')) out.pop_back();
    return out;
}

int backend_option(void* context, const char*, const char* option, const char** value,
                   unsigned* length) {
    auto& look = *static_cast<Look*>(context);
    const std::string_view name(option);
    if (name == "pwcheck_method") {
        *value = "auxprop";
    } else if (name == "auxprop_plugin") {
        // Cyrus looks a second time, for an authorization identity: that is none of the store's
        // business, and would be a connection more.
        *value = std::exchange(look.asked, true) ? "postern" : look.kind.c_str();
    } else {
        return SASL_FAIL;  // The library's own answers hold.
    }
    if (length != nullptr) *length = static_cast<unsigned>(std::strlen(*value));
    return SASL_OK;
}

int hear_log(void* context, int level, const char* text) {
    auto& look = *static_cast<Look*>(context);
    if (text == nullptr) return SASL_OK;
    const std::string_view said(text);
    if (said.starts_with("sql plugin: no result found")) look.nothing_there = true;
    // Of the first error the reason, of those behind it only that there was one.
    if (level == SASL_LOG_ERR && look.complaint.empty()) look.complaint = on_one_line(said);
    return SASL_OK;
}

class AuxpropBackend final : public PasswordBackend {
  public:
    AuxpropBackend(SaslLibrary&, AuxpropSettings settings) : settings_(std::move(settings)) {}

    [[nodiscard]] BackendAnswer check(const BackendUser& user, std::string_view password) override {
        BackendAnswer answer = fetch(user);
        if (answer.kind != Kind::ok) return answer;
        std::optional<std::string> kept = saslprep(answer.password.reveal(), PrepUse::query);
        std::optional<std::string> said = saslprep(password, PrepUse::query);
        const bool right = kept && said && !kept->empty() && equal_in_constant_time(*kept, *said);
        if (kept) wipe(kept->data(), kept->size());
        if (said) wipe(said->data(), said->size());
        answer.password = {};
        if (!right) answer.kind = Kind::failed;
        return answer;
    }

    [[nodiscard]] BackendAnswer fetch(const BackendUser& user) override {
        BackendAnswer answer;
        answer.kind = Kind::failed;
        if (!settings_.only_domain.empty() && user.domain != settings_.only_domain) {
            answer.asked = false;
            return answer;
        }
        if (auto resting = rests()) return std::move(*resting);
        answer = look(user.address());
        note(answer);
        return answer;
    }

  private:
    static constexpr std::chrono::milliseconds first_rest{250};
    static constexpr std::chrono::milliseconds longest_rest{8000};

    [[nodiscard]] std::optional<BackendAnswer> rests() {
        const std::scoped_lock lock(mutex_);
        if (settings_.now() >= rests_until_) return std::nullopt;
        BackendAnswer answer;
        answer.detail = last_error_;
        return answer;
    }

    /// Cyrus' sql plug-in loses 22 KiB with each connection that fails: those must be few.
    void note(const BackendAnswer& answer) {
        const std::scoped_lock lock(mutex_);
        if (answer.kind != Kind::error) {
            rest_ = {};
            rests_until_ = {};
            return;
        }
        rest_ = std::clamp(rest_ * 2, first_rest, longest_rest);
        rests_until_ = settings_.now() + rest_;
        last_error_ = answer.detail;
    }

    [[nodiscard]] BackendAnswer look(const std::string& address) const {
        BackendAnswer answer;
        Look look{settings_.kind, false, false, {}};
        const int code = ask(address, look, &answer);
        if (code == SASL_OK) return answer;
        if (is_absent(code, look)) {
            answer.kind = Kind::failed;
        } else {
            answer.detail = why(code, look);
        }
        return answer;
    }

    /// Looks a user up, and leaves his password with `answer` where one is asked for.
    [[nodiscard]] static int ask(const std::string& name, Look& look, BackendAnswer* answer) {
        const std::array<sasl_callback_t, 3> callbacks = {{
            {SASL_CB_GETOPT, as_callback(backend_option), &look},
            {SASL_CB_LOG, as_callback(hear_log), &look},
            {SASL_CB_LIST_END, nullptr, nullptr},
        }};
        sasl_conn_t* connection = nullptr;
        if (sasl_server_new("smtp", "postern", nullptr, nullptr, nullptr, callbacks.data(), 0,
                            &connection) != SASL_OK)
            return SASL_NOMEM;
        // What it finds stays with the connection.
        const int code = sasl_user_exists(connection, nullptr, nullptr, name.c_str());
        if (code == SASL_OK && answer != nullptr) take_password(connection, *answer);
        sasl_dispose(&connection);
        return code;
    }

    static void take_password(sasl_conn_t* connection, BackendAnswer& answer) {
        propctx* const properties = sasl_auxprop_getctx(connection);
        const char* wanted[] = {password_property, nullptr};
        std::array<propval, 2> found{};
        answer.kind = Kind::failed;
        if (properties != nullptr && prop_getnames(properties, wanted, found.data()) >= 0 &&
            found[0].name != nullptr && found[0].values != nullptr &&
            found[0].values[0] != nullptr && *found[0].values[0] != '\0') {
            answer.kind = Kind::ok;
            answer.password = proto::Secret(found[0].values[0]);
        }
        if (properties != nullptr) prop_erase(properties, password_property);
    }

    [[nodiscard]] bool is_absent(int code, const Look& look) const {
        if (settings_.kind == "ldapdb" && (code == SASL_FAIL || code == SASL_BADAUTH)) {
            // An LDAP server refuses to speak for whom it does not know, and the plug-in has the
            // same word for that and for all sorts of trouble. Where the server still speaks for
            // ourselves it was the user.
            Look control{settings_.kind, false, false, {}};
            const int ours = ask(settings_.ourselves, control, nullptr);
            return ours == SASL_OK || ours == SASL_NOUSER;
        }
        if (code != SASL_NOUSER) return false;
        if (settings_.kind == "sql") return look.nothing_there;
        // Cyrus takes a file that is not there for one without users.
        return settings_.kind != "sasldb" || unreadable() == 0;
    }

    /// sasldb: 0, or errno.
    [[nodiscard]] int unreadable() const {
        return ::access(settings_.file.c_str(), R_OK) == 0 ? 0 : errno;
    }

    [[nodiscard]] std::string why(int code, const Look& look) const {
        if (!look.complaint.empty()) return look.complaint;
        if (settings_.kind == "sasldb" && code == SASL_NOUSER) {
            return fmt::format("{}: {}", settings_.file,
                               std::generic_category().message(unreadable()));
        }
        if (settings_.kind == "sql" && code == SASL_NOUSER)
            return "the query of auth.options.sql_select failed";
        if (settings_.kind == "ldapdb" && (code == SASL_FAIL || code == SASL_BADAUTH))
            return "the LDAP server lets auth.options.ldapdb_id neither in nor speak for itself";
        return fmt::format("Cyrus SASL, {}: {}", settings_.kind,
                           sasl_errstring(code, nullptr, nullptr));
    }

    AuxpropSettings settings_;
    std::mutex mutex_;
    clock::time_point rests_until_;
    std::chrono::milliseconds rest_{};
    std::string last_error_;
};

}  // namespace

std::unique_ptr<PasswordBackend> make_auxprop_backend(SaslLibrary& library,
                                                      AuxpropSettings settings) {
    return std::make_unique<AuxpropBackend>(library, std::move(settings));
}

}  // namespace postern::auth
