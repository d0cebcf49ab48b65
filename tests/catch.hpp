#pragma once

// Catch2 in either of the versions that Debian 12 carries: 3 (backports) or 2.13. Tests include
// this header and nothing else of Catch2, and use only what both versions have.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
