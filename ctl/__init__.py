"""ctl: from a bare server to a running self-hosted AI platform."""

__version__ = "0.1.0"
