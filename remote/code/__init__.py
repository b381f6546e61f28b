"""Selects, hashes, packs and uploads a code tree, and compares two of them."""
