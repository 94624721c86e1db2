"""Moongate and its peers under the same load. `bench/run` is the command."""
