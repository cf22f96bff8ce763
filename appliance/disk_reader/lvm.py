"""Logical volumes of LVM that lie on the disks one piece behind the other."""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final, cast

from dissect.util.stream import MappingStream
from dissect.volume.lvm import LVM2
from dissect.volume.lvm.physical import LVM2Device

from appliance.disk_reader.bounds import Patience, why
from appliance.disk_reader.volume import MOST_VOLUMES, UNKNOWN, Piece, Volume, others, seen, within

_SECTOR: Final = 512
_MOST_SEGMENTS: Final = 4096


def logical_volumes(physical: list[Volume], patience: Patience) -> list[Volume]:
    """The logical volumes of all physical ones together."""
    groups: dict[str, list[tuple[Any, Volume]]] = {}
    found: list[Volume] = []
    for volume in physical:
        try:
            with patience.for_step():
                device = LVM2Device(volume.stream)
                names = sorted(
                    key for key, value in (device.metadata or {}).items() if isinstance(value, dict)
                )
            groups.setdefault(names[0] if names else "", []).append((device, volume))
        except Exception as error:
            note = f"it is of LVM and damaged ({why(error)})"
            found.append(Volume(volume.name, volume.size, None, note=note))
    for name, devices in groups.items():
        try:
            with patience.for_step():
                for volume in _of_group(name, devices):
                    found += [volume, *others(volume)]
        except Exception as error:
            note = f"it cannot be read ({why(error)})"
            found.append(Volume(f"volume group {name}"[:100], 0, None, note=note))
    return found


def _of_group(name: str, devices: list[tuple[Any, Volume]]) -> Iterator[Volume]:
    group = LVM2([device for device, _ in devices]).volume_group
    below = {device.id: volume for device, volume in devices}
    for number, logical in enumerate(group.lv):
        if number >= MOST_VOLUMES:
            yield Volume(
                f"volume group {name}"[:100], 0, None, note=f"more than {MOST_VOLUMES} volumes are in it"
            )
            break
        if logical.is_visible:
            yield _opened(f"logical volume {name}/{logical.name}"[:200], group, logical, below)


def _opened(title: str, group: Any, logical: Any, below: dict[str, Volume]) -> Volume:
    extent = group.extent_size * _SECTOR
    segments = sorted(logical.segments, key=lambda segment: segment.start_extent)
    size = sum(segment.extent_count for segment in segments) * extent
    kinds = {_kind(segment) for segment in segments}
    if kinds != {"linear"} or len(segments) > _MOST_SEGMENTS:
        return Volume(
            title, size, None, note=f"it is of LVM's kind {', '.join(sorted(kinds))[:60]}, which is not read"
        )
    stream, pieces, end = MappingStream(), list[Piece](), 0
    for segment in segments:
        name, first = segment.stripes[0]
        under = group.physical_volumes[name]
        volume = below.get(under.id.replace("-", ""))
        if volume is None:
            note = f"its physical volume {name[:40]} is missing: give all disks of the machine at once"
            return Volume(title, size, None, note=note)
        if segment.start_extent * extent != end or segment.extent_count <= 0:
            return Volume(title, size, None, note="it is of LVM and damaged (its extents have gaps)")
        start, length = under.pe_start * _SECTOR + first * extent, segment.extent_count * extent
        stream.add(end, length, volume.stream, start)
        pieces += within(volume.pieces, start, length)
        end += length
    found = seen(title, cast(BinaryIO, stream), size, tuple(pieces))
    if found.is_known:
        return found
    return Volume(title, size, cast(BinaryIO, stream), note=UNKNOWN)


def _kind(segment: Any) -> str:
    """What LVM calls a segment; one stripe is none."""
    if str(segment.type) in ("striped", "linear"):
        return "linear" if segment.stripe_count == 1 else "striped"
    return str(segment.type)
