"""All fixtures of the wire tests come from the harness, which other folders of tests use too."""

from postern.fixtures import *  # noqa: F403
