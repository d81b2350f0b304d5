"""The harness: suite → plan → worker → samples, and the command line."""

__version__ = "0.1.0"
