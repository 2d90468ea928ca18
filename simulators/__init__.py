"""Local stand-ins for the systems Commerce Sync talks to; started with ``python -m simulators``."""
