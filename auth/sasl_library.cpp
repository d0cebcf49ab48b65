#include "auth/sasl_library.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <fmt/format.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>

#include "auth/sasl_callback.hpp"

namespace postern::auth {
namespace {

namespace fs = std::filesystem;

// Cyrus knows every exchange's peer by this name: who it is in truth the questions' owner knows,
// and so nothing that a client typed is cut, trimmed or given a realm on its way through Cyrus.
constexpr std::string_view peer_name = "client";  // With a NUL behind it.

constexpr std::array wanted_plugins = {"libscram.so", "libplain.so", "liblogin.so"};

// Cyrus' own mutexes do nothing.
void* mutex_new() {
    return new (std::nothrow) std::mutex;
}
int mutex_lock(void* mutex) {
    static_cast<std::mutex*>(mutex)->lock();
    return 0;
}
int mutex_unlock(void* mutex) {
    static_cast<std::mutex*>(mutex)->unlock();
    return 0;
}
void mutex_free(void* mutex) {
    delete static_cast<std::mutex*>(mutex);
}

/// Every option is answered here, those that we have no word on with nothing: what is not answered
/// Cyrus looks up in the system's configuration.
int get_option(void* context, const char*, const char* option, const char** value,
               unsigned* length) {
    struct Answer {
        std::string_view option;
        const char* value;
    };
    static constexpr Answer answers[] = {
        {"mech_list", "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN EXTERNAL"},
        {"auxprop_plugin", "postern"},
        {"canon_user_plugin", "INTERNAL"},
        {"pwcheck_method",
         "none"},  // The checkpass callback has the last word; there is no such method behind it.
        {"auto_transition", "no"},
        {"log_level", "0"},
    };
    const auto* const answer =
        std::ranges::find(answers, std::string_view(option), &Answer::option);
    *value = answer != std::end(answers) ? answer->value : nullptr;
    const auto& store = *static_cast<const SaslStore*>(context);
    if (const auto own = store.options.find(option);
        *value == nullptr && own != store.options.end())
        *value = own->second.c_str();
    if (length != nullptr)
        *length = *value != nullptr ? static_cast<unsigned>(std::strlen(*value)) : 0;
    return SASL_OK;
}

int drop_log(void*, int, const char*) {
    return SASL_OK;
}

int configuration_path(void*, char** path) {
    static char nowhere[] = "/nonexistent";
    *path = nowhere;
    return SASL_OK;
}

int plugin_path(void* context, const char** path) {
    *path = static_cast<const std::string*>(context)->c_str();
    return SASL_OK;
}

/// Other mechanisms and stores lie in the same folder; they are not even loaded.
int verify_file(void* context, const char* file, sasl_verify_type_t type) {
    const auto& store = *static_cast<const SaslStore*>(context);
    // The sasldb plug-in asks before it reads its file.
    if (type == SASL_VRFY_PASSWD && store.name == "sasldb") return SASL_OK;
    if (type != SASL_VRFY_PLUGIN) return SASL_CONTINUE;
    const std::string name = fs::path(file).filename().string();
    const bool wanted =
        std::ranges::any_of(wanted_plugins,
                            [&](const char* plugin) { return name.starts_with(plugin); }) ||
        (!store.name.empty() && name.starts_with("lib" + store.name + ".so"));
    return wanted ? SASL_OK : SASL_CONTINUE;
}

int canonical_name(sasl_conn_t*, void*, const char*, unsigned, unsigned, const char*, char* out,
                   unsigned out_max, unsigned* out_length) {
    if (out_max <= peer_name.size()) return SASL_BUFOVER;
    std::ranges::copy(peer_name, out);
    out[peer_name.size()] = '\0';
    *out_length = static_cast<unsigned>(peer_name.size());
    return SASL_OK;
}

int check_password(sasl_conn_t*, void* context, const char*, const char* password, unsigned length,
                   propctx*) {
    auto* const questions = static_cast<SaslQuestions*>(context);
    // SASL_NOVERIFY would send Cyrus to its own methods.
    return questions->password_is_right({password, length}) ? SASL_OK : SASL_BADAUTH;
}

/// Whom the peer may act as is judged by the exchange's owner, who knows the names.
int allow_proxy(sasl_conn_t*, void*, const char*, unsigned, const char*, unsigned, const char*,
                unsigned, propctx*) {
    return SASL_OK;
}

int look_up(void*, sasl_server_params_t* server, unsigned flags, const char*, unsigned) {
    if ((flags & SASL_AUXPROP_AUTHZID) != 0) return SASL_OK;
    sasl_callback_ft function = nullptr;
    void* context = nullptr;
    if (server->utils->getcallback(server->utils->conn, SASL_CB_CANON_USER, &function, &context) !=
            SASL_OK ||
        context == nullptr)
        return SASL_FAIL;
    const auto* const questions = static_cast<const SaslQuestions*>(context);
    const propval* const wanted = server->utils->prop_get(server->propctx);
    if (wanted == nullptr) return SASL_OK;
    for (const propval* property = wanted; property->name != nullptr; ++property) {
        if (std::string_view(property->name) != "*authPassword" || property->values != nullptr)
            continue;
        const std::string& verifier = questions->verifier();
        const int code = server->utils->prop_set(server->propctx, property->name, verifier.data(),
                                                 static_cast<int>(verifier.size()));
        if (code != SASL_OK) return code;
    }
    return SASL_OK;
}

int make_auxprop(const sasl_utils_t*, int max_version, int* out_version, sasl_auxprop_plug_t** out,
                 const char*) {
    static char name[] = "postern";
    static sasl_auxprop_plug_t plugin{};
    if (max_version < SASL_AUXPROP_PLUG_VERSION) return SASL_BADVERS;
    plugin.auxprop_lookup = look_up;
    plugin.name = name;
    *out_version = SASL_AUXPROP_PLUG_VERSION;
    *out = &plugin;
    return SASL_OK;
}

bool holds_plugins(const fs::path& folder) {
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        if (at->path().filename().string().starts_with(wanted_plugins.front())) return true;
    }
    return false;
}

std::vector<fs::path> likely_folders() {
    std::vector<fs::path> folders;
    Dl_info where{};
    void* const function = dlsym(RTLD_DEFAULT, "sasl_server_init");
    if (function != nullptr && dladdr(function, &where) != 0 && where.dli_fname != nullptr)
        folders.push_back(fs::path(where.dli_fname).parent_path() / "sasl2");
    std::error_code error;
    for (fs::directory_iterator at("/usr/lib", error), end; !error && at != end;
         at.increment(error))
        folders.push_back(at->path() / "sasl2");
    folders.emplace_back("/usr/lib/sasl2");
    folders.emplace_back("/usr/lib64/sasl2");
    return folders;
}

bool can_serve(std::string_view mechanism) {
    const char** const mechanisms = sasl_global_listmech();
    for (const char** at = mechanisms; at != nullptr && *at != nullptr; ++at) {
        if (mechanism == *at) return true;
    }
    return false;
}

bool has_store(const std::string& name) {
    bool found = false;
    const auto note = [](sasl_auxprop_plug_t* plugin, sasl_info_callback_stage_t stage,
                         void* found_it) {
        if (stage == SASL_INFO_LIST_MECH && plugin != nullptr) *static_cast<bool*>(found_it) = true;
    };
    auxprop_plugin_info(name.c_str(), note, &found);
    return found;
}

}  // namespace

struct SaslLibrary::Callbacks {
    std::array<sasl_callback_t, 6> list;
};

SaslLibrary::SaslLibrary(std::string plugins, SaslStore store)
    : plugins_(std::move(plugins)), store_(std::move(store)), callbacks_(new Callbacks) {
    callbacks_->list = {{
        {SASL_CB_GETOPT, as_callback(get_option), &store_},
        {SASL_CB_LOG, as_callback(drop_log), nullptr},
        {SASL_CB_GETCONFPATH, as_callback(configuration_path), nullptr},
        {SASL_CB_GETPATH, as_callback(plugin_path), &plugins_},
        {SASL_CB_VERIFYFILE, as_callback(verify_file), &store_},
        {SASL_CB_LIST_END, nullptr, nullptr},
    }};
}

started<std::unique_ptr<SaslLibrary>> SaslLibrary::start(const fs::path& plugins, SaslStore store) {
    std::string folder = plugins.string();
    if (folder.empty()) {
        const std::vector<fs::path> folders = likely_folders();
        const auto found = std::ranges::find_if(folders, holds_plugins);
        if (found != folders.end()) folder = found->string();
    }
    if (folder.empty() || !holds_plugins(folder)) {
        return Fault{AuthError::mechanism_missing,
                     fmt::format("no plug-ins of Cyrus SASL in {}: install libsasl2-modules",
                                 folder.empty() ? "the system's library folders" : folder)};
    }
    std::unique_ptr<SaslLibrary> library(new SaslLibrary(std::move(folder), std::move(store)));
    if (const auto done = library->initialise(); !done) return done.error();
    return library;
}

started<void> SaslLibrary::initialise() {
    sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
    const auto fault = [](std::string_view what, int code) {
        return Fault{AuthError::sasl_library, fmt::format("Cyrus SASL: {}: {}", what,
                                                          sasl_errstring(code, nullptr, nullptr))};
    };
    if (const int code = sasl_server_init(callbacks_->list.data(), "postern"); code != SASL_OK)
        return fault("cannot be initialised", code);
    initialised_ = true;
    if (const int code = sasl_auxprop_add_plugin("postern", make_auxprop); code != SASL_OK)
        return fault("does not take our store", code);
    for (const std::string_view mechanism :
         {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "EXTERNAL"}) {
        if (!can_serve(mechanism)) {
            return Fault{AuthError::mechanism_missing,
                         fmt::format("Cyrus SASL has no {} in {}: install libsasl2-modules",
                                     mechanism, plugins_)};
        }
    }
    if (!store_.name.empty() && !has_store(store_.name)) {
        // sasldb's is in libsasl2-modules-db, ldapdb's in -ldap, sql's in -sql.
        const std::string_view package = store_.name == "sasldb"   ? "db"
                                         : store_.name == "ldapdb" ? "ldap"
                                                                   : "sql";
        return Fault{AuthError::store_plugin_missing,
                     fmt::format("Cyrus SASL has no {} plug-in in {} that starts: install "
                                 "libsasl2-modules-{}",
                                 store_.name, plugins_, package)};
    }
    return {};
}

SaslLibrary::~SaslLibrary() {
    if (initialised_) sasl_server_done();
}

struct SaslConnection::Parts {
    std::array<sasl_callback_t, 4> callbacks{};
    std::string binding_name;
    std::string binding_octets;
    sasl_channel_binding_t binding{};
    sasl_conn_t* connection = nullptr;
};

SaslConnection::SaslConnection(SaslQuestions& questions) : parts_(std::make_unique<Parts>()) {
    parts_->callbacks = {{
        {SASL_CB_CANON_USER, as_callback(canonical_name), &questions},
        {SASL_CB_SERVER_USERDB_CHECKPASS, as_callback(check_password), &questions},
        {SASL_CB_PROXY_POLICY, as_callback(allow_proxy), nullptr},
        {SASL_CB_LIST_END, nullptr, nullptr},
    }};
}

SaslConnection::~SaslConnection() {
    if (parts_->connection != nullptr) sasl_dispose(&parts_->connection);
}

std::unique_ptr<SaslConnection> SaslConnection::make(SaslLibrary&, SaslQuestions& questions) {
    std::unique_ptr<SaslConnection> made(new SaslConnection(questions));
    // A host name spares Cyrus asking for it; no realm, for an empty one makes `user@` of `user`.
    const int code = sasl_server_new("smtp", "postern", nullptr, nullptr, nullptr,
                                     made->parts_->callbacks.data(), 0, &made->parts_->connection);
    if (code != SASL_OK) return nullptr;
    const sasl_security_properties_t plain_text{};  // No security layer; TLS has come before.
    if (sasl_setprop(made->parts_->connection, SASL_SEC_PROPS, &plain_text) != SASL_OK)
        return nullptr;
    return made;
}

bool SaslConnection::proved_outside() {
    return sasl_setprop(parts_->connection, SASL_AUTH_EXTERNAL, peer_name.data()) == SASL_OK;
}

bool SaslConnection::bind_channel(std::string name, std::string octets) {
    Parts& parts = *parts_;
    parts.binding_name = std::move(name);
    parts.binding_octets = std::move(octets);
    parts.binding.name = parts.binding_name.c_str();
    parts.binding.critical = 1;
    parts.binding.len = parts.binding_octets.size();
    parts.binding.data = reinterpret_cast<const unsigned char*>(parts.binding_octets.data());
    return sasl_setprop(parts.connection, SASL_CHANNEL_BINDING, &parts.binding) == SASL_OK;
}

namespace {

SaslConnection::Step step_of(int code, const char* out, unsigned length) {
    using StepKind = SaslConnection::Step::Kind;
    SaslConnection::Step step;
    if (out != nullptr) step.octets.assign(out, length);
    switch (code) {
        case SASL_CONTINUE:
            step.kind = StepKind::more;
            return step;
        case SASL_OK:
            step.kind = StepKind::done;
            return step;
        case SASL_BADAUTH:
        case SASL_NOUSER:
        case SASL_NOVERIFY:
        case SASL_NOAUTHZ:
        case SASL_BADBINDING:
            step.kind = StepKind::wrong;
            break;
        case SASL_BADPROT:
            step.kind = StepKind::malformed;
            break;
        default:
            step.kind = StepKind::failed;
            break;
    }
    step.error = sasl_errstring(code, nullptr, nullptr);
    return step;
}

}  // namespace

SaslConnection::Step SaslConnection::start(const std::string& mechanism, std::string_view initial) {
    const char* out = nullptr;
    unsigned length = 0;
    const int code = sasl_server_start(parts_->connection, mechanism.c_str(), initial.data(),
                                       static_cast<unsigned>(initial.size()), &out, &length);
    return step_of(code, out, length);
}

SaslConnection::Step SaslConnection::step(std::string_view response) {
    const char* out = nullptr;
    unsigned length = 0;
    const int code =
        sasl_server_step(parts_->connection, response.data() != nullptr ? response.data() : "",
                         static_cast<unsigned>(response.size()), &out, &length);
    return step_of(code, out, length);
}

}  // namespace postern::auth
