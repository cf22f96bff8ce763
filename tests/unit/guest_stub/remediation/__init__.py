"""Tests of guest_stub.remediation, one file for each module."""
