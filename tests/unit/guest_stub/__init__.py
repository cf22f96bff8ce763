"""Tests of the guest stub, one file for each module."""
