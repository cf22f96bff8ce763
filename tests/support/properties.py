"""How properties are tested here: hypothesis must not fail a test because the machine is busy."""

from hypothesis import HealthCheck, settings

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
