"""The tests of appliance.hypervisor.image."""
