"""Tests of appliance/scanning."""
