#include <algorithm>
#include <charconv>
#include <limits>

#include "proto/session_impl.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {

namespace {

constexpr std::chrono::seconds block_deadline{180};  // RFC 5321 4.5.3.2.5
constexpr std::uint64_t mebibyte = 1024 * 1024;
constexpr std::uint64_t swallow_beyond =
    64 * mebibyte;  // of a BDAT that is too large, beyond what is allowed
constexpr std::uint64_t swallow_stranger = mebibyte;  // of a BDAT by somebody who did not log in

struct Chunk {
    std::uint64_t size = 0;
    bool last = false;
};

/// `chunk-size [LAST]`, RFC 3030 2.
std::optional<Chunk> parse_chunk(std::string_view text) noexcept {
    Chunk chunk;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), chunk.size);
    if (read.ec != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
    if (text.empty()) return chunk;
    if (text.front() != ' ') return std::nullopt;
    text.remove_prefix(text.find_first_not_of(' '));
    if (!same_ignoring_case(text, "LAST")) return std::nullopt;
    chunk.last = true;
    return chunk;
}

constexpr std::uint64_t add(std::uint64_t a, std::uint64_t b) noexcept {
    return b > std::numeric_limits<std::uint64_t>::max() - a
               ? std::numeric_limits<std::uint64_t>::max()
               : a + b;
}

}  // namespace

void Session::Impl::begin_body(BodyReader::Framing framing) {
    body = BodyReader(framing,
                      {.max_size = max_size_, .normalize_newlines = settings_->normalize_newlines});
}

Session::Impl::MaybeAction Session::Impl::next_data() {
    const BodyReader::Piece piece = body.read(input_);
    switch (piece.kind) {
        case BodyReader::Kind::octets:
            return BodyChunk{piece.bytes, piece.is_static};
        case BodyReader::Kind::more:
            return read_or_send(block_deadline, true);
        case BodyReader::Kind::end:
            end_of_data();
            break;
    }
    return std::nullopt;
}

void Session::Impl::on_bdat(std::string_view arguments) {
    const auto chunk = parse_chunk(arguments);
    if (!chunk) return say(Say::bad_bdat);
    if (envelope.recipients.empty()) return refuse_bdat(arguments, Say::no_recipients);
    if (!in_bdat_) {
        begin_body(BodyReader::Framing::counted);
        in_bdat_ = true;
    }
    const std::uint64_t room = max_size_ - std::min(max_size_, body.size());
    if (max_size_ != 0 && chunk->size > room) {
        if (chunk->size - room > swallow_beyond) {
            Reply reply = reply_of(Say::too_large);
            reply.close_after = true;
            return answer(std::move(reply));
        }
        body.fail(BodyReader::Fault::size);
    }
    chunk_size_ = chunk->size;
    chunk_left_ = chunk->size;
    chunk_last_ = chunk->last;
    phase_ = Phase::bdat;
}

/// The octets behind a refused BDAT must never be read as commands.
void Session::Impl::refuse_bdat(std::string_view arguments, Say why) {
    const auto chunk = parse_chunk(arguments);
    if (!chunk) return say(Say::bad_bdat);
    if (chunk->size > (authenticated ? add(offer.max_size, swallow_beyond) : swallow_stranger)) {
        Reply reply = reply_of(why);
        reply.close_after = true;
        return answer(std::move(reply));
    }
    chunk_left_ = chunk->size;
    phase_ = Phase::swallow;
    say(why);
}

Session::Impl::MaybeAction Session::Impl::next_bdat() {
    const auto length =
        static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, input_.size()));
    std::string_view part = input_.substr(0, length);
    const BodyReader::Piece piece = body.read(part);
    const std::size_t used = length - part.size();
    input_.remove_prefix(used);
    chunk_left_ -= used;
    if (piece.kind == BodyReader::Kind::octets) return BodyChunk{piece.bytes, piece.is_static};
    if (chunk_left_ > 0) return read_or_send(block_deadline, true, chunk_left_);
    end_of_chunk();
    return std::nullopt;
}

void Session::Impl::end_of_chunk() {
    if (chunk_last_) {
        phase_ = Phase::bdat_end;
    } else if (body.fault() != BodyReader::Fault::none) {
        refuse_body();
    } else {
        phase_ = Phase::command;
        answer({.code = 250,
                .enhanced = "2.0.0",
                .text = std::to_string(chunk_size_) + " octets received"});
    }
}

Session::Impl::MaybeAction Session::Impl::next_bdat_end() {
    if (const std::string_view missing = body.finish(); !missing.empty())
        return BodyChunk{missing, true};
    end_of_data();
    return std::nullopt;
}

Session::Impl::MaybeAction Session::Impl::next_swallow() {
    const auto length =
        static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, input_.size()));
    input_.remove_prefix(length);
    chunk_left_ -= length;
    if (chunk_left_ > 0) return read_or_send(block_deadline, true, chunk_left_);
    phase_ = Phase::command;
    return std::nullopt;
}

void Session::Impl::end_of_data() {
    command_ = "end-of-data";
    if (body.fault() == BodyReader::Fault::none) {
        phase_ = Phase::ask_data;
    } else {
        refuse_body();
    }
}

void Session::Impl::refuse_body() {
    phase_ = Phase::command;
    switch (body.fault()) {
        case BodyReader::Fault::size:
            say(Say::too_large);
            break;
        case BodyReader::Fault::long_line:
            say(Say::long_line);
            break;
        case BodyReader::Fault::octets:
        case BodyReader::Fault::none:
            say(Say::bad_newlines);
            break;
    }
    end_transaction();
}

}  // namespace postern::proto
