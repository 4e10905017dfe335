"""Subcommands of `worldloom` that make data and train; found by entry points."""
