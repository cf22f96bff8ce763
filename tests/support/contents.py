"""Contents that tests scan."""

# The EICAR test file, in two halves so that no scanner objects to this file or to what it is compiled to.
EICAR = b"".join((rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$", rb"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"))
