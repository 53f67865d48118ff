"""Composition root: settings, the console script and the process that runs the parts together."""

__version__ = "0.1.0"
