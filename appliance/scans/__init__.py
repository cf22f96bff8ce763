"""Scans of whole guests: who may scan now, and what administrators have ordered.

In the order that things come to pass:

- `orders`    what was ordered and how it ended, on the disk before anybody hears of it (`state.scan_orders`)
- `board`     which orders changed, for whoever follows
- `desk`      attached guests: tells them of orders that are due, hears how their scans stand
- `news`      what one guest is to be told, until it was
- `pressure`  how pressed this machine and its host are, as the kernel says it
- `capacity`  how many slots that leaves
- `slots`     who has a slot and who gets the next: no I/O, and no clock of its own

An on-demand scan looks at files only while it has a slot (docs/decisions/0026). The services that
administrators and guests use for it stand in `rpc`.
"""
