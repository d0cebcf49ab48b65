#pragma once

// The narrow set of Asio headers that every coroutine file of relay/ uses; compiled once
// (relay/asio.cpp).

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/result.hpp>

namespace postern::relay {

namespace asio = boost::asio;
using boost::system::error_code;
using boost::system::result;
template <typename T>
using awaitable = asio::awaitable<T>;

/// Completion token: errors come as values, never as exceptions.
inline constexpr auto as_value = asio::as_tuple(asio::use_awaitable);

}  // namespace postern::relay
