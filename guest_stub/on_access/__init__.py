"""Protection of files as they are opened. What stands here, in the order that an event passes:

- `protecting`    the parts wired together, for the life of `guest-stub run`
- `coverage`      which file systems are watched, also those that come later
- `fanotify`      the kernel's groups, marks, events and answers; no policy
- `reader`        the thread that takes events, and answers what the stub itself does
- `sorting`       where each event goes
- `exclusions`    what is let through unasked
- `gate`          each event that waits: answered by what is known, or after one look for all who wait
  - `answering`   exactly one answer, within the budget
  - `policy`      pure: what becomes of an event, and of a detection
  - `memory`      what was decided before, and what of it counts
  - `judging`     hashes an open file and asks the SVM
  - `turns`       a thread for small files, one for large ones, owners in turns
  - `recent`      which contents it need not be asked about again
  - `passing`     marks, so that the kernel asks no more
- `afterwards`    what was written, or opened where nobody waits, is looked at
- `catching_up`   looks for what was changed when events were lost
- `replaying`     looks at what was let through without an SVM
  - `moved`       looks for those that are not at their path any more
- `searching`     looks for files whose content turned out to be malicious
  - `in_use`      which processes have them open
- `elsewhere`     has what was reached by a foreign mount looked for, so that no excluded file is acted on
- `acting`        does with a detected file what the policy says
- `undoing`       restores what turns out to be clean
- `reporting`     a line for each thing that matters
  - `merging`     few events for the SVM of many that are alike
  - `telling`     sends them, and again until the SVM has them
- `settings`      the table [on_access]
"""
