"""The progress line of an import: how far it is, how fast, how long it may still take. No I/O."""

_BAR_CELLS = 24


def progress_line(entries: int, done: int, total: int, seconds: float) -> str:
    """One line. entries: taken so far; done, total: of the source, 0 where the whole is not known."""
    seconds = max(seconds, 1e-3)
    parts = [f"{entries:,} entries", f"{entries / seconds:,.0f}/s"]
    if total:
        share = min(1.0, done / total)
        cells = int(_BAR_CELLS * share)
        parts.insert(0, f"[{'#' * cells}{'-' * (_BAR_CELLS - cells)}] {100 * share:.0f} %")
        if done:
            left = round(seconds * (1 - share) / share) if share else 0
            parts.append(f"about {left // 60}:{left % 60:02} left")
    return " · ".join(parts)
