// What the guard keeps over a restart: penalties as what is left of them, never a point in time.

#include <cmath>
#include <cstring>
#include <span>
#include <type_traits>

#include "policy/login_guard_impl.hpp"

namespace postern::policy {

namespace {

// The file is bounded whatever happens: the worthiest are kept.
constexpr std::size_t most_sources = 100'000;
constexpr std::size_t most_networks = 16'384;
constexpr std::size_t most_accounts = 20'000;
constexpr std::size_t most_pairs = 10'000;
constexpr std::size_t most_allowed = 100'000;
constexpr std::size_t longest_text = 512;
constexpr double least_kept = 0.5;  // of weight

struct SavedSource {
    SourceKey key = 0;
    float weight = 0;
    Tick refused = 0;  // so long from then on
    Tick answers = 0;  // likewise: Rate::tat
};
struct SavedNetwork {
    SourceKey key = 0;
    float weight = 0;
    std::array<std::uint64_t, 4> places{};
};
struct SavedAccount {
    std::string name;
    float weight = 0;
    std::array<std::uint64_t, 2> sources{};
    std::array<Tick, account_answers> answers{};  // ago, plus 1; 0: none
};
struct SavedPair {
    SourceKey source = 0;
    std::string account;
    std::array<std::uint32_t, 3> labels{};
    std::array<float, 3> weights{};
};
struct Saved {
    std::vector<SavedSource> sources;
    std::vector<SavedNetwork> networks;
    std::vector<SavedAccount> accounts;
    std::vector<SavedPair> pairs;
    std::vector<std::string> allowed;
};

/// Numbers little-endian, texts behind their length.
class Writer {
  public:
    template <typename T>
    void number(T value) {
        if constexpr (std::is_floating_point_v<T>) {
            number(std::bit_cast<std::uint32_t>(value));
        } else {
            for (std::size_t i = 0; i < sizeof value; ++i)
                out_.push_back(static_cast<char>(value >> (8 * i) & 0xffU));
        }
    }
    template <typename T, std::size_t N>
    void numbers(const std::array<T, N>& values) {
        for (const T value : values) number(value);
    }
    void text(std::string_view value) {
        number(static_cast<std::uint32_t>(value.size()));
        out_ += value;
    }
    [[nodiscard]] std::string take() { return std::move(out_); }

  private:
    std::string out_;
};

/// Reads what Writer wrote; after the first fault everything is 0 and good() is false.
class Reader {
  public:
    explicit Reader(std::string_view from) : left_(from) {}

    template <typename T>
    [[nodiscard]] T number() {
        if constexpr (std::is_floating_point_v<T>) {
            const auto value = std::bit_cast<float>(number<std::uint32_t>());
            if (!std::isfinite(value) || value < 0) good_ = false;
            return value;
        } else {
            T value = 0;
            if (left_.size() < sizeof value) return fail(), value;
            for (std::size_t i = 0; i < sizeof value; ++i)
                value |=
                    static_cast<T>(static_cast<T>(static_cast<std::uint8_t>(left_[i])) << (8 * i));
            left_.remove_prefix(sizeof value);
            return value;
        }
    }
    template <typename T, std::size_t N>
    void numbers(std::array<T, N>& values) {
        for (T& value : values) value = number<T>();
    }
    [[nodiscard]] std::string text() {
        const std::size_t size = number<std::uint32_t>();
        if (size > longest_text || size > left_.size()) return fail(), std::string();
        std::string value(left_.substr(0, size));
        left_.remove_prefix(size);
        return value;
    }
    /// How many follow.
    [[nodiscard]] std::size_t count(std::size_t most) {
        const std::size_t n = number<std::uint32_t>();
        if (n > most) return fail(), 0;
        return n;
    }
    [[nodiscard]] bool good() const { return good_; }
    [[nodiscard]] bool at_end() const { return left_.empty(); }

  private:
    void fail() {
        good_ = false;
        left_ = {};
    }
    std::string_view left_;
    bool good_ = true;
};

/// The `most` worthiest.
template <typename T, typename Worth>
void keep_worthiest(std::vector<T>& all, std::size_t most, Worth worth) {
    if (all.size() <= most) return;
    const auto cut = all.begin() + static_cast<std::ptrdiff_t>(most);
    std::ranges::nth_element(all, cut, std::greater<>{}, worth);
    all.erase(cut, all.end());
}

Tick left_of(Tick until, Tick now) {
    return until > now ? until - now : 0;
}

void write(Writer& out, const SavedSource& s) {
    out.number(s.key);
    out.number(s.weight);
    out.number(s.refused);
    out.number(s.answers);
}
void write(Writer& out, const SavedNetwork& n) {
    out.number(n.key);
    out.number(n.weight);
    out.numbers(n.places);
}
void write(Writer& out, const SavedAccount& a) {
    out.text(a.name);
    out.number(a.weight);
    out.numbers(a.sources);
    out.numbers(a.answers);
}
void write(Writer& out, const SavedPair& p) {
    out.number(p.source);
    out.text(p.account);
    out.numbers(p.labels);
    out.numbers(p.weights);
}
void write(Writer& out, const std::string& text) {
    out.text(text);
}
template <typename T>
void write_all(Writer& out, const std::vector<T>& all) {
    out.number(static_cast<std::uint32_t>(all.size()));
    for (const T& one : all) write(out, one);
}

void read(Reader& in, SavedSource& s) {
    s.key = in.number<std::uint64_t>();
    s.weight = in.number<float>();
    s.refused = in.number<Tick>();
    s.answers = in.number<Tick>();
}
void read(Reader& in, SavedNetwork& n) {
    n.key = in.number<std::uint64_t>();
    n.weight = in.number<float>();
    in.numbers(n.places);
}
void read(Reader& in, SavedAccount& a) {
    a.name = in.text();
    a.weight = in.number<float>();
    in.numbers(a.sources);
    in.numbers(a.answers);
}
void read(Reader& in, SavedPair& p) {
    p.source = in.number<std::uint64_t>();
    p.account = in.text();
    in.numbers(p.labels);
    in.numbers(p.weights);
}
void read(Reader& in, std::string& text) {
    text = in.text();
}
template <typename T>
void read_all(Reader& in, std::vector<T>& all, std::size_t most) {
    for (std::size_t left = in.count(most); left > 0 && in.good(); --left)
        read(in, all.emplace_back());
}

}  // namespace

std::string LoginGuard::save(SteadyTime now) const {
    const Tick tick = tick_of(now);
    const auto weight_of = [tick](const Score& score) {
        return static_cast<float>(score.now(tick));
    };
    Saved saved;
    for (std::size_t i = 0; i < shard_count; ++i) {
        {
            const Impl::Site& site = *impl_->sites[i];
            const std::scoped_lock lock(site.mutex);
            site.sources.for_each([&](const Source& s) {
                const SavedSource one{.key = s.key,
                                      .weight = weight_of(s.score),
                                      .refused = left_of(s.refused_until, tick),
                                      .answers = left_of(s.answers.tat, tick)};
                if (one.weight >= least_kept || one.refused > 0) saved.sources.push_back(one);
            });
            site.failing.for_each([&](const FailingPair& p) {
                if (p.now(tick) < least_kept) return;
                SavedPair one{
                    .source = p.source, .account = p.account, .labels = {}, .weights = {}};
                for (std::size_t b = 0; b < p.buckets.size(); ++b) {
                    one.labels[b] = p.buckets[b].label;
                    one.weights[b] = weight_of(p.buckets[b].score);
                }
                saved.pairs.push_back(std::move(one));
            });
        }
        {
            const std::scoped_lock lock(impl_->names[i]->mutex);
            impl_->names[i]->accounts.for_each([&](const Account& a) {
                SavedAccount one{.name = a.name,
                                 .weight = weight_of(a.score),
                                 .sources = a.sources.bits,
                                 .answers = {}};
                if (one.weight < least_kept) return;
                for (std::size_t n = 0; n < account_answers; ++n) {
                    const Tick at = a.answers.at[n];
                    if (at != 0) one.answers[n] = since(at, tick) + 1;
                }
                saved.accounts.push_back(std::move(one));
            });
        }
        const std::scoped_lock lock(impl_->nets[i]->mutex);
        impl_->nets[i]->networks.for_each([&](const Network& n) {
            const SavedNetwork one{
                .key = n.key, .weight = weight_of(n.score), .places = n.places.bits};
            if (one.weight >= least_kept) saved.networks.push_back(one);
        });
    }
    {
        const std::shared_lock lock(impl_->allowed_mutex);
        for (const auto& [key, subject] : impl_->allowed) saved.allowed.push_back(subject.text);
    }
    keep_worthiest(saved.sources, most_sources, [](const SavedSource& s) {
        return s.weight + (s.refused > 0 ? static_cast<float>(most_weight) : 0.0F);
    });
    keep_worthiest(saved.networks, most_networks, &SavedNetwork::weight);
    keep_worthiest(saved.accounts, most_accounts, &SavedAccount::weight);
    keep_worthiest(saved.pairs, most_pairs,
                   [](const SavedPair& p) { return p.weights[0] + p.weights[1] + p.weights[2]; });
    Writer out;
    write_all(out, saved.sources);
    write_all(out, saved.networks);
    write_all(out, saved.accounts);
    write_all(out, saved.pairs);
    write_all(out, saved.allowed);
    return out.take();
}

bool LoginGuard::load(std::string_view saved, std::chrono::milliseconds elapsed, SteadyTime now) {
    Saved read_in;
    Reader in(saved);
    read_all(in, read_in.sources, most_sources);
    read_all(in, read_in.networks, most_networks);
    read_all(in, read_in.accounts, most_accounts);
    read_all(in, read_in.pairs, most_pairs);
    read_all(in, read_in.allowed, most_allowed);
    if (!in.good() || !in.at_end()) return false;

    const Tick tick = tick_of(now);
    elapsed = std::clamp<std::chrono::milliseconds>(elapsed, milliseconds(0),
                                                    std::chrono::hours(24 * 365));
    const Tick passed = ticks(elapsed);
    const double share = std::exp2(-std::chrono::duration<double>(elapsed) /
                                   std::chrono::duration<double>(half_life));
    // No damage may make a penalty that the guard itself would not give.
    const auto score_of = [&](float weight, double most) {
        return Score{.value = static_cast<float>(std::min<double>(weight, most) * share),
                     .at = tick};
    };
    const auto ahead = [&](Tick left, Tick most) {
        left = left_of(std::min(left, most), passed);
        return left == 0 ? 0 : tick + left;
    };
    for (const SavedSource& one : read_in.sources) {
        if (one.key == 0) continue;
        auto& site = impl_->site_of(one.key);
        const std::scoped_lock lock(site.mutex);
        Source& s = impl_->source(site, one.key, tick);
        s.score = score_of(one.weight, most_weight);
        s.refused_until = ahead(one.refused, ticks(refused_for));
        s.answers.tat = ahead(one.answers, ticks(longest_delay) + answer_burst * answer_interval);
    }
    for (const SavedNetwork& one : read_in.networks) {
        if (one.key == 0) continue;
        auto& shard = impl_->networks_of(one.key);
        const std::scoped_lock lock(shard.mutex);
        Network& n = impl_->network(shard, one.key, tick);
        n.score = score_of(one.weight, network_most_weight);
        n.places.bits = one.places;
    }
    for (const SavedAccount& one : read_in.accounts) {
        const std::string name = guarded_name(one.name);
        const auto key = impl_->account_key(name);
        auto& shard = impl_->names_of(key);
        const std::scoped_lock lock(shard.mutex);
        Account& a = impl_->account(shard, key, name, tick);
        a.score = score_of(one.weight, most_weight);
        a.sources.bits = one.sources;
        // Its first source had another hash: the next is taken for a second one.
        a.crowded = a.sources.set() > 1;
        a.first_source = a.sources.set() > 0 ? 2 : 0;
        for (std::size_t n = 0; n < account_answers; ++n) {
            const std::uint64_t ago = static_cast<std::uint64_t>(one.answers[n]) + passed;
            a.answers.at[n] =
                one.answers[n] == 0 || ago >= tick ? 0 : tick - static_cast<Tick>(ago) + 1;
        }
    }
    for (const SavedPair& one : read_in.pairs) {
        if (one.source == 0) continue;
        auto& site = impl_->site_of(one.source);
        const std::string name = guarded_name(one.account);
        const auto key = impl_->pair_key(one.source, impl_->account_key(name));
        const std::scoped_lock lock(site.mutex);
        FailingPair& p = impl_->failing(site, key, tick);
        p.source = one.source;
        p.account = name;
        for (std::size_t b = 0; b < p.buckets.size(); ++b) {
            p.buckets[b].label = one.labels[b];
            p.buckets[b].score = score_of(one.weights[b], most_weight);
        }
    }
    for (const std::string& text : read_in.allowed) {
        if (auto subject = impl_->subject_of(text)) (void)impl_->exempt(std::move(*subject));
    }
    return true;
}

}  // namespace postern::policy
