"""A laboratory for scaling laws of tiny language models."""
