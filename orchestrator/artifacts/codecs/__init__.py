"""One module per family of types."""
