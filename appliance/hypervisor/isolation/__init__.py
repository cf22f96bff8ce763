"""Cutting a machine off from its networks, and giving them back as they were.

- `records`: which machines are cut off, and how their links were: on the disk before anything is changed.
- `isolator`: cuts off and releases, step by step; killed at any of them, the next call goes on from there.
- `kept`: which links stay: those to the SVM.
- `enforcing`: keeps cut off what is, over restarts of the machine and new interfaces.
- `policy`: cuts off after detections, as the settings say, from the SVM's events; `wanted`: what it still
has to.
"""
