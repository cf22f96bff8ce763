"""The EICAR test file: harmless, and detected by every scanner that a test should reach.

The rule is EICAR's own (https://www.eicar.org/download-anti-malware-testfile/): the 68 characters
stand at the very beginning, and only white space follows, up to 128 bytes in all. Texts that merely
quote the string, such as rule files, are no test files.
"""

from appliance.config import EngineSettings
from appliance.domain.verdict import Detection
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import EngineBuild

NAME = "eicar"
VERSION = "1"
THREAT = "Eicar-Test-Signature"
MAX_BYTES = 128
WHITE_SPACE = b" \t\r\n\x1a"
# Composed, so that this file is not one that scanners stumble over.
# Joined as the program runs: what the compiler put together would stand whole in its own files.
TEST_STRING = b"".join((rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-", b"ANTIVIRUS-TEST-FILE!$H+H*"))


def build(_settings: EngineSettings) -> EngineBuild:
    """Return a build without sections: the signature is this module."""
    return EngineBuild(NAME, VERSION, 0)


class EicarEngine:
    """Detects exactly the test file."""

    name = NAME
    version = VERSION
    unpacks = False

    def scan(self, content: Content) -> list[Detection]:
        """Return one detection for the test file, else none."""
        if not len(TEST_STRING) <= content.size <= MAX_BYTES:
            return []
        data = content.data[:]
        if not data.startswith(TEST_STRING) or data[len(TEST_STRING) :].strip(WHITE_SPACE):
            return []
        return [Detection(THREAT, NAME, content.member)]
