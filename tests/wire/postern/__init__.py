"""What the wire tests stand on: the real binary with a scratch configuration, sinks, raw clients."""
