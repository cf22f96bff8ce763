"""Which version of the guest stub this is."""

# Held equal to pyproject.toml by a test. To read it from the installed distribution would cost each run
# 20 ms and 1.5 MB.
VERSION = "0.1.0"
