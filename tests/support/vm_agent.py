"""Runs in a test's virtual machine: does what the test asks through a virtio-serial port, as root.

One line of JSON in, {"id", "run": [program, arguments], "input": base64, "seconds"}; one out, {"id", "code",
"out", "err"}. The file is put into images by itself, and imports nothing but Python's own.
"""

import base64
import json
import subprocess
import sys
import time
from typing import Any

PORT_NAME = "org.kvm_light_agent.lab.0"
PORT = f"/dev/virtio-ports/{PORT_NAME}"


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Run what is asked for. code: that of the program, or 124 when its time was over."""
    try:
        ran = subprocess.run(
            question["run"],
            check=False,
            input=base64.b64decode(question.get("input", "")),
            capture_output=True,
            timeout=question["seconds"],
        )
        code, out, err = ran.returncode, ran.stdout, ran.stderr
    except subprocess.TimeoutExpired as late:
        code, out, err = 124, late.stdout or b"", late.stderr or b""
    except OSError as error:
        code, out, err = 127, b"", str(error).encode()
    texts = {name: base64.b64encode(said).decode() for name, said in (("out", out), ("err", err))}
    return {"id": question["id"], "code": code, **texts}


def main() -> int:
    """Answer for as long as the machine runs."""
    with open(PORT, "r+b", buffering=0) as port:
        held = b""
        while True:
            came = port.read(65536)
            if not came:  # nobody of the host is at the other end, which the kernel says at once
                time.sleep(0.3)
            held += came
            *lines, held = held.split(b"\n")
            for line in lines:
                if line.strip():
                    said = json.dumps(answer(json.loads(line))).encode() + b"\n"
                    while said:  # the port takes 32 KiB at a time
                        said = said[port.write(said) or 0 :]


if __name__ == "__main__":
    sys.exit(main())
