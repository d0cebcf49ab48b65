#pragma once

#include <functional>
#include <string>
#include <vector>

#include "relay/intake/word.hpp"

namespace postern::relay::intake {

/// A mail as the intake's listeners took it.
struct Mail {
    std::string mail_from;           ///< Without angle brackets; empty: the null reverse-path.
    std::vector<std::string> rcpts;  ///< As given; empty by HTTP. One may be b+TOKEN@bounce_domain.
    std::string octets;              ///< Header and body, unstuffed, CRLF or LF.
};

/// Where what the listeners took is attributed, counted and sent on. Thread-safe. Both return at
/// once; `done` is called exactly once, from any thread (perhaps before the call returns), when
/// what was taken is safe: only then may the peer hear 250 or 202. `overloaded` asks for 451 or
/// 503, every other answer is taken.
class Desk {
  public:
    virtual ~Desk() = default;
    using Done = std::function<void(Taken)>;
    virtual void take(Mail mail, Done done) = 0;
    /// Words of one webhook call; the worst of what became of them is what `done` hears.
    virtual void take(std::vector<Word> words, Done done) = 0;
};

}  // namespace postern::relay::intake
