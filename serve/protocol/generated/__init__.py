"""Made from ../*.proto by ops/compile_protocol.py."""
