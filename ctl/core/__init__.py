"""Frozen data and pure functions: no socket, file, environment, clock or subprocess."""
