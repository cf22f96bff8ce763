"""Protection of files as they are opened."""
