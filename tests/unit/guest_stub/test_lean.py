"""Tests of what is left out of the stub's process."""

import subprocess
import sys

from tests.support.apart import ROOT, environment


def loaded(program: str, **variables: str) -> str:
    """What a Python of its own prints. variables: of its environment."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment() | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_the_stubs_process_carries_no_ssl() -> None:
    """Neither the module nor the library behind it; all the rest of the program is there."""
    program = "import sys, guest_stub.__main__; print(sys.modules['ssl'], '_ssl' in sys.modules)"
    assert loaded(program) == "None False"


def test_a_larger_program_keeps_it() -> None:
    """What already has asyncio may need both for something else."""
    assert loaded("import asyncio, guest_stub.__main__, ssl; print(ssl.__name__)") == "ssl"
    program = (
        "import asyncio, guest_stub.__main__; from google.protobuf.internal import python_message as it;"
    )
    assert loaded(program + "print(it.GeneratedProtocolMessageType.__module__)").endswith("python_message")


def test_the_stubs_process_carries_no_messages_in_python() -> None:
    """Those of the wire are in C, and can do what well-known ones can besides."""
    program = (
        "import sys, guest_stub.__main__; from google.protobuf.timestamp_pb2 import Timestamp;"
        "from google.protobuf.duration_pb2 import Duration; said = Duration(seconds=7).SerializeToString();"
        "print('google.protobuf.text_format' in sys.modules, Duration.FromString(said).ToSeconds(),"
        " Timestamp(seconds=7).ToJsonString(), type(Timestamp()).__base__.__module__)"
    )
    assert loaded(program) == "False 7 1970-01-01T00:00:07Z google._upb._message"


def test_where_there_are_no_others_they_stay() -> None:
    """protobuf without its C library, which is slower, works as before."""
    program = (
        "import guest_stub.__main__; from google.protobuf.duration_pb2 import Duration;"
        "said = Duration(seconds=7).SerializeToString(); print(Duration.FromString(said).seconds)"
    )
    assert loaded(program, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python") == "7"
