"""Tests of appliance/scanning/engines."""
