"""What users import and type: the command line, the HTTP client and the Python task SDK."""

__version__ = "0.1.0"
