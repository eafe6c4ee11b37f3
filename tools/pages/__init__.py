"""Writes the parts of docs/ that are made from the code; a test keeps each in step."""
