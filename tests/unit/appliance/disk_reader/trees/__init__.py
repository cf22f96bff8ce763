"""File systems, made by their own tools."""
