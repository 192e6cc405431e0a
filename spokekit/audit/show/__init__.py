"""Answers as files and as pictures."""
