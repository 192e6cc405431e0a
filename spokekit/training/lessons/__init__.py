"""The lessons, a module a chapter."""
