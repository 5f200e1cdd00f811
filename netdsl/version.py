"""The version of netdsl: here alone, for the package, the models it writes, and pyproject.toml."""

__version__ = "0.1.0"
