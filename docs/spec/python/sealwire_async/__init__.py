"""Sealwire's asynchronous half, written from docs/spec alone; see README.md."""
