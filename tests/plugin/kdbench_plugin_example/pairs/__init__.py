"""Pairs, one TOML file each."""
