"""The provider's API key, read again when he says so."""

from pathlib import Path

import pytest

from appliance.ksn.api_key import ApiKey, KeyUnusable, Renewed


class Service:
    """Takes every key but one, and remembers the last."""

    key = "first"

    def use_key(self, key: str) -> bool:
        """See api_key.Keyed."""
        if key == "bad":
            raise ValueError("the key is bad")
        changed, self.key = key != self.key, key
        return changed


def made(path: Path | None) -> tuple[ApiKey, Service, list[bool]]:
    """A key, its service, and what was said of asking again."""
    service, said = Service(), list[bool]()

    def ask_again(changed: bool) -> bool:
        said.append(changed)
        return True

    return ApiKey(path, service, ask_again), service, said


async def test_what_stands_in_the_file_by_then_is_used(tmp_path: Path) -> None:
    """Without what surrounds it; and it is told whether that is another key."""
    (tmp_path / "key").write_text("first\n")
    key, service, said = made(tmp_path / "key")
    assert await key.renew() == Renewed(changed=False, asked_again=True)
    (tmp_path / "key").write_text(" second\n")
    assert await key.renew() == Renewed(changed=True, asked_again=True)
    assert (service.key, said) == ("second", [False, True])


async def test_a_service_without_a_key_is_asked_again_too(tmp_path: Path) -> None:
    """It may have refused a certificate, or all the world."""
    key, service, said = made(None)
    service.key = ""
    assert not (await key.renew()).changed
    assert said == [False]


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file"), (b"\xff", "not UTF-8"), (b"x" * 5000, "over 4096"), (b"bad", "key is bad")],
)
async def test_one_that_cannot_be_used_leaves_the_old_one(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    """The sentence names the setting and the file, and nobody is asked again."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    key, service, said = made(path)
    with pytest.raises(KeyUnusable, match=f"ksn.api_key_file: {path}.*{why}"):
        await key.renew()
    assert (service.key, said) == ("first", [])
