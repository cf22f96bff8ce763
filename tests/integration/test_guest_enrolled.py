"""`guest-stub` and `svm`, each as it is: from `svm init` to a guest that is protected, and cut off."""

import asyncio
import json
from pathlib import Path

from tests.support.commands import Ran, svm_program
from tests.support.contents import EICAR
from tests.support.protected import protected
from tests.support.stub_program import guest_stub
from tests.support.svm import until
from tests.support.svm_process import svm_process
from tests.support.tls_svm import Doors, enrol, initialised


async def administer(doors: Doors, *words: str) -> Ran:
    """Run `svm`; it succeeds."""
    where = ("--socket", doors.directory / "admin.sock")
    ran = await asyncio.to_thread(svm_program, *words, *where)
    assert ran.code == 0, ran.err
    return ran


async def who(state: Path) -> dict[str, str]:
    """Who the guest is."""
    said: dict[str, str] = json.loads((await guest_stub("identity", "--json", "--state", state)).out)
    return said


async def test_a_guest_of_a_real_svm(tmp_path: Path) -> None:
    """It enrols, is protected, renews, is cut off, and comes back as the same guest."""
    doors, state = await asyncio.to_thread(initialised, tmp_path / "svm"), tmp_path / "stub"
    with svm_process(doors.directory, listen=doors.listen, doors=doors.others):
        await enrol(doors, state, options=("--tenant", "red"))
        known = await who(state)
        assert (known["tenant"], known["svm"]) == ("red", doors.listen)
        async with protected(tmp_path, doors.listen) as machine:
            await machine.says("the SVM answers")
            await machine.write("bad.com", EICAR)
            assert (await machine.run("cat", machine.top / "bad.com")).code == 1
            renewed = await guest_stub("renew", "--now", "--state", state)
            assert (renewed.code, renewed.out.startswith("renewed: until")) == (0, True), renewed.err
            assert (await guest_stub("status", "--state", state)).code == 0
            # Which shows the new certificate first, and so ends what the daemon has over the old one.
            await until(lambda: "\n".join(machine.said).count("the SVM answers") == 2, "it is back")
            machine.said.clear()
            await administer(doors, "guests", "revoke", known["guest"], "--reason", "lost")
            assert "enrol this guest anew" in await machine.says("the SVM is gone")
            refused = await guest_stub("ksn", "--state", state)
            assert (refused.code, "enrol this guest anew" in refused.err) == (2, True), refused.err
            machine.said.clear()
            await enrol(doors, state, options=("--tenant", "red", "--uuid", known["guest"]))
            await machine.says("the SVM answers")
            assert (await who(state))["guest"] == known["guest"]
            await machine.write("worse.com", EICAR + b"\n")
            assert (await machine.run("cat", machine.top / "worse.com")).code == 1
