"""The tests of appliance.first_boot."""
