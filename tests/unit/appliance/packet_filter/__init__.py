"""The packet filter, in networks of the tests' own."""
