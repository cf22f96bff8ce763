"""A journal of a few entries, for a program under test: so many as JOURNAL_ENTRIES says.

Python loads it when it starts with this directory on its path.
"""

import os

from guest_stub import journal

journal.MOST_ENTRIES = int(os.environ["JOURNAL_ENTRIES"])  # type: ignore[misc]
