#include "relay/cli/cli.hpp"

int main(int argc, char** argv) {
    using namespace postern::relay;
    return cli::run(argc, argv,
                    {serve, check_upstreams, check_listeners, check_accounts, check_token_keys,
                     check_logins, sink::run_sink, check_backend});
}
