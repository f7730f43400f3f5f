"""Text normalisers, one file a language or family."""
