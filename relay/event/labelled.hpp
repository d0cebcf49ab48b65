#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <prometheus/family.h>

namespace postern::relay::event {

/// A metric with N labels: finds the counter or histogram of a set of values without a lock and
/// without memory of its own. Only new sets take the lock. Bounded: sets beyond three quarters of
/// `slots` are counted together as "other".
template <typename Metric, std::size_t N>
class Labelled {
  public:
    using Values = std::array<std::string_view, N>;

    template <typename... Args>
    Labelled(prometheus::Family<Metric>& family, std::array<const char*, N> names,
             std::size_t slots, Args... args)
        : names_(names),
          slots_(slots),
          make_([&family, args...](const prometheus::Labels& labels) -> Metric& {
              return family.Add(labels, args...);
          }) {}

    /// Never null once made; lives as long as the registry.
    [[nodiscard]] Metric& at(const Values& values) {
        const auto hash = hash_of(values);
        for (std::size_t i = 0; i < slots_.size(); ++i) {
            const auto* node = slots_[(hash + i) % slots_.size()].load(std::memory_order_acquire);
            if (node == nullptr) break;
            if (node->hash == hash && equal(*node, values)) return *node->metric;
        }
        return make(values, hash);
    }

  private:
    struct Node {
        std::array<std::string, N> values;
        std::size_t hash;
        Metric* metric;
    };

    static std::size_t hash_of(const Values& values) {
        std::size_t hash = 0;
        for (const auto value : values)
            hash = hash * 0x9e3779b97f4a7c15U + std::hash<std::string_view>{}(value);
        return hash;
    }
    static bool equal(const Node& node, const Values& values) {
        for (std::size_t i = 0; i < N; ++i) {
            if (node.values[i] != values[i]) return false;
        }
        return true;
    }
    [[nodiscard]] Metric& add(const Values& values, std::size_t hash) {
        prometheus::Labels labels;
        auto node = std::make_unique<Node>();
        for (std::size_t i = 0; i < N; ++i) {
            node->values[i] = values[i];
            labels.emplace(names_[i], node->values[i]);
        }
        node->hash = hash;
        node->metric = &make_(labels);
        auto& metric = *node->metric;
        for (std::size_t i = 0;; ++i) {
            auto& slot = slots_[(hash + i) % slots_.size()];
            if (slot.load(std::memory_order_relaxed) != nullptr) continue;
            slot.store(node.get(), std::memory_order_release);
            break;
        }
        nodes_.push_back(std::move(node));
        return metric;
    }
    [[nodiscard]] Metric& make(const Values& values, std::size_t hash) {
        const std::scoped_lock lock(mutex_);
        for (const auto& node : nodes_) {
            if (node->hash == hash && equal(*node, values)) return *node->metric;
        }
        if (nodes_.size() < slots_.size() * 3 / 4) return add(values, hash);
        Values other;
        other.fill("other");
        if (other_ == nullptr) other_ = &add(other, hash_of(other));
        return *other_;
    }

    std::array<const char*, N> names_;
    std::vector<std::atomic<const Node*>> slots_;
    std::function<Metric&(const prometheus::Labels&)> make_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Node>> nodes_;
    Metric* other_ = nullptr;
};

}  // namespace postern::relay::event
