"""The files that a scan can be taken home in: one module per format, each with `write` and `size`."""
