"""`python -m worldloom.train.evaluation`: the measurements without an installed package."""

from __future__ import annotations

if __name__ == "__main__":
    from ..commands.eval import evaluate

    evaluate()
