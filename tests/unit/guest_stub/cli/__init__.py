"""Tests of what a person in a guest types."""
