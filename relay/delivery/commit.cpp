#include "relay/delivery/commit.hpp"

#include <utility>

#include <boost/asio/async_result.hpp>

namespace postern::relay {

awaitable<result<void>> commit(Spool& spool, SpoolBatch batch) {
    const asio::any_io_executor home = co_await asio::this_coro::executor;
    result<void> outcome;
    auto start = [&](auto handler) {
        spool.commit(
            std::move(batch),
            [&outcome, home, work = asio::prefer(home, asio::execution::outstanding_work.tracked),
             handler = std::move(handler)](result<void> said) mutable {
                outcome = said;
                asio::post(home, std::move(handler));
            });
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(std::move(start),
                                                                          asio::use_awaitable);
    co_return outcome;
}

bool may_pass(const boost::system::error_code& error) noexcept {
    return error == SpoolError::full || error == SpoolError::write || error == SpoolError::sync ||
           error == SpoolError::busy;
}

}  // namespace postern::relay
