"""Disks read from outside."""
