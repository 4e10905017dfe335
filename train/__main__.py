"""`python -m worldloom.train`: the training commands without an installed package."""

from __future__ import annotations

if __name__ == "__main__":
    # Processes that draw worlds import this file again: keep it light.
    from .commands.train import train

    train()
