"""Tests of attested enrolment, the host's side."""
