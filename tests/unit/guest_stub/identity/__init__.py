"""Tests of guest_stub.identity, one file for each module."""
