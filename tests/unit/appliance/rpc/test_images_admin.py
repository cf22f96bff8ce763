"""Who may scan images, into whose part of the cache, and how many at once."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from appliance.config_limits import Limits
from appliance.domain.caller import Role
from appliance.domain.guest import DEFAULT_TENANT_SCOPE, PUBLIC_SCOPE
from appliance.rpc.access import ACCESS
from appliance.rpc.admin_line import AdminError
from tests.support.images import Contents, ImageSvm, image_svm


async def known_in(svm: ImageSvm, digest: bytes) -> list[int]:
    """The scopes that have an entry of a digest."""
    svm.parts.protection.commit()
    scopes = (PUBLIC_SCOPE, DEFAULT_TENANT_SCOPE)
    return [scope for scope in scopes if svm.parts.store.lookup(scope, [digest])[0] is not None]


async def test_an_image_enters_what_is_the_tenants_and_seeding_what_is_everybodys(tmp_path: Path) -> None:
    """Only what the SVM was sent."""
    async with image_svm(tmp_path) as svm:
        tenants, everybodys = Contents([b"tenant's"]), Contents([b"everybody's"])
        async with svm.client(tenant="default") as client:
            await client.check(tenants.digests, tenants)
        async with svm.client(seed=True) as client:
            await client.check(everybodys.digests, everybodys)
        assert await known_in(svm, tenants.digests[0]) == [DEFAULT_TENANT_SCOPE]
        assert await known_in(svm, everybodys.digests[0]) == [PUBLIC_SCOPE]


@pytest.mark.parametrize(
    ("begin", "why"),
    [
        ({"image": ""}, "image has 0 bytes"),
        ({"image": "x" * 600}, "image has 600 bytes"),
        ({"machine": "nonsense"}, "machine is no UUID"),
        ({"tenant": "nobody"}, "no tenant 'nobody' is known"),
        ({"seed": True, "tenant": "default"}, "name no tenant"),
    ],
)
async def test_what_cannot_be_scanned_is_refused(tmp_path: Path, begin: dict[str, object], why: str) -> None:
    """With a sentence."""
    async with image_svm(tmp_path) as svm:
        with pytest.raises(AdminError, match=why):
            async with svm.client(**begin):
                pass


async def test_so_many_images_and_no_more(tmp_path: Path) -> None:
    """One that ends makes room; who is refused is counted."""
    async with image_svm(tmp_path, Limits(images=2)) as svm, AsyncExitStack() as stack:
        await stack.enter_async_context(svm.client())
        async with svm.client():
            with pytest.raises(AdminError, match="2 images are looked at now"):
                async with svm.client():
                    pass
            assert len(svm.parts.sessions.beside) == 2
            assert svm.parts.sessions.overs["guest_over_images"] == 1
        await stack.enter_async_context(svm.client())
        assert svm.parts.sessions.all() == []


def test_providers_and_host_agents_scan_images_and_nobody_else() -> None:
    """What is seeded is seen by all tenants: no tenant's administrator may."""
    for method in ("CheckImage", "ScanContent"):
        roles = ACCESS[f"/lightagent.v1.ImageAdministration/{method}"]
        assert roles == {Role.PROVIDER, Role.HOST_AGENT}
