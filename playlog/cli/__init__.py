"""The command line: `playlog`."""
