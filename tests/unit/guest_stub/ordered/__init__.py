"""Tests of scans that an administrator ordered."""
