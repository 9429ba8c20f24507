"""The command line; the one room of this package that may import the adapters."""
