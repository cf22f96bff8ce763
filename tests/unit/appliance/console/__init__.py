"""Tests of appliance/console."""
