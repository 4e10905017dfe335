"""What this client calls itself."""

from __future__ import annotations

VERSION = "0.1.0"
"""Of the distribution, which reads it here."""
PROTOCOL_VERSION = 2
CLIENT_NAME = f"python/{VERSION}"
