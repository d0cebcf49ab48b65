#include "auth/strict_json.hpp"

#include <utility>
#include <vector>

namespace postern::auth {
namespace {

/// Takes what nlohmann's parser reads, value by value, and stops it at the first thing that may not
/// be.
class StrictReader final : public nlohmann::json_sax<Json> {
  public:
    explicit StrictReader(const JsonBounds& bounds) : bounds_(bounds) {}

    [[nodiscard]] Json take() { return std::move(root_); }

    bool null() override { return place(nullptr) != nullptr; }
    bool boolean(bool value) override { return place(value) != nullptr; }
    bool number_integer(number_integer_t value) override { return place(value) != nullptr; }
    bool number_unsigned(number_unsigned_t value) override { return place(value) != nullptr; }
    bool number_float(number_float_t value, const string_t&) override {
        return place(value) != nullptr;
    }
    bool string(string_t& value) override { return place(std::move(value)) != nullptr; }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(Json::object()); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool end_array() override { return close(); }
    bool key(string_t& name) override {
        Json& object = *open_.back();
        if (object.contains(name)) return false;
        member_ = &object[name];
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const Json::exception&) override {
        return false;
    }

  private:
    /// Null: there are too many.
    Json* place(Json value) {
        if (++values_ > bounds_.values) return nullptr;
        Json* to = &root_;
        if (!open_.empty() && open_.back()->is_array()) {
            open_.back()->push_back(nullptr);
            to = &open_.back()->back();
        } else if (!open_.empty()) {
            to = member_;
        }
        *to = std::move(value);
        return to;
    }
    bool open(Json value) {
        if (open_.size() >= bounds_.depth) return false;
        Json* const placed = place(std::move(value));
        if (placed == nullptr) return false;
        open_.push_back(placed);
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }

    JsonBounds bounds_;
    Json root_;
    Json* member_ = nullptr;
    std::vector<Json*> open_;  ///< Innermost last; none of them grows but the last.
    std::size_t values_ = 0;
};

}  // namespace

std::optional<Json> parse_bounded(std::string_view text, const JsonBounds& bounds) {
    StrictReader reader(bounds);
    if (!Json::sax_parse(text.begin(), text.end(), &reader)) return std::nullopt;
    return reader.take();
}

std::optional<Json> parse_strict(std::string_view text) {
    std::optional<Json> out = parse_bounded(text, {});
    if (!out || !out->is_object()) return std::nullopt;
    return out;
}

const std::string* string_member(const Json& object, const char* name) {
    const auto at = object.find(name);
    return at != object.end() ? at->get_ptr<const std::string*>() : nullptr;
}

}  // namespace postern::auth
