"""Typer and Rich: options to values, events to text or JSON."""
