"""The version of this package, read by the build backend too."""

__version__ = "1.0.0"
