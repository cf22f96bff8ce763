"""How properties are tested here: hypothesis must not fail a test because the machine is busy."""

from hypothesis import HealthCheck, settings

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For fuzz targets: examples share a directory, which each of them overwrites, and may be slow or large.
fuzzing = settings(deadline=None, suppress_health_check=list(HealthCheck))
