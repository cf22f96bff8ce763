"""svm status: what the SVM is doing."""

import argparse
from collections.abc import Mapping
from typing import Any

from lightagent.v1 import admin_pb2

from appliance.cli.console import (
    DONE,
    NO,
    Console,
    add_json_argument,
    add_socket_arguments,
    exit_codes,
    pairs,
    table,
)
from appliance.cli.times import iso, shown, span

_DESCRIPTION = "Shows what the SVM is doing: its engines and the guests that are attached; --figures for all."

_EPILOG = f"""examples:
  svm status
  svm status --figures
  svm status --json | jq .guests

{exit_codes("an engine is not ready")}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "status", help="what the SVM is doing", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--figures", action="store_true", help="show every figure, as in /metrics")
    add_json_argument(parser)
    add_socket_arguments(parser)
    parser.set_defaults(run=_status)


def _status(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        status = client.status()
    if args.json:
        console.say_json(_as_dict(status))
    else:
        console.say(*_as_text(status, console.clock(), args.figures))
    return DONE if all(engine.ready for engine in status.engines) else NO


def _as_text(status: admin_pb2.GetStatusReply, now: float, figures: bool) -> list[str]:
    started = status.started.seconds
    lines = pairs(
        [
            ("version", status.version),
            ("running", f"for {span(now - started)}, since {shown(started)}"),
            ("generation", f"{status.generation:016x}"),
            ("sandbox", "NONE: the settings accept the risk" if status.unsandboxed else "in force"),
            ("scans", _scans(status.figures)),
        ]
    )
    lines += ["", *_engines(status), "", *_guests(status, now)]
    if figures:
        lines += ["", *pairs((name, f"{value:.15g}") for name, value in sorted(status.figures.items()))]
    return lines


def _scans(figures: Mapping[str, float]) -> str:
    """Return how many guests scan, and what holds them back."""

    def count(name: str) -> int:
        return int(figures.get(name, 0))

    pressed = ", ".join(
        f"{name} {figures.get(f'pressure_{name}', 0):.0f} %" for name in ("cpu", "io", "memory", "steal")
    )
    return (
        f"{count('scan_slots_used')} run and {count('scan_slots_waiting')} wait for one of "
        f"{count('scan_slots')} slots, {count('scan_slots_most')} at the most; pressure {pressed}"
    )


def _engines(status: admin_pb2.GetStatusReply) -> list[str]:
    rows = [
        (
            engine.name,
            "ready" if engine.ready else "NOT READY",
            engine.signatures or "-",
            engine.version,
            engine.problem,
        )
        for engine in status.engines
    ]
    return table(("engine", "state", "signatures", "version", "problem"), rows)


def _guests(status: admin_pb2.GetStatusReply, now: float) -> list[str]:
    if not status.guests:
        return ["no guest is attached"]
    rows = [
        (
            guest.id,
            guest.host_name,
            guest.stub_version,
            span(now - guest.attached.seconds),
            guest.digests_asked,
            guest.bytes_uploaded,
        )
        for guest in status.guests
    ]
    return table(("guest", "calls itself", "stub", "attached", "digests asked", "bytes uploaded"), rows)


def _as_dict(status: admin_pb2.GetStatusReply) -> dict[str, Any]:
    return {
        "version": status.version,
        "started": iso(status.started.seconds),
        "generation": f"{status.generation:016x}",
        "unsandboxed": status.unsandboxed,
        "engines": [
            {
                "name": engine.name,
                "version": engine.version,
                "ready": engine.ready,
                "problem": engine.problem,
                "signatures": engine.signatures,
            }
            for engine in status.engines
        ],
        "guests": [
            {
                "id": guest.id,
                "host_name": guest.host_name,
                "stub_version": guest.stub_version,
                "attached": iso(guest.attached.seconds),
                "digests_asked": guest.digests_asked,
                "bytes_uploaded": guest.bytes_uploaded,
            }
            for guest in status.guests
        ],
        "figures": dict(sorted(status.figures.items())),
    }
