"""Tests of the protection of files as they are opened."""
