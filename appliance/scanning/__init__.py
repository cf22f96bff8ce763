"""Scanning: content comes in, is looked at in sandboxed processes, and a result comes out.

The front process, which parses nothing:

- `spool`        uploads into sealed files in memory, with room reserved up front
- `scanner`      the one door: a descriptor and a label in, a ScanResult out; switches generations
- `builder`      has a bundle of signatures built by a worker; `clamd_watch` follows a clamd's signatures
- `company`      who else is here, for bounds that leave room for others
- `pool`         hands contents to workers and gives each an end; `blame` remembers what broke them
- `fair_queue`   what waits for a worker: tenants take turns, and their guests; `least_served`: whose it is
- `crew`         the workers of one bundle: starts them, replaces what dies, retires them
- `worker_process`  one worker: started, spoken to, killed, reaped
- `sandbox`      the walls around a worker; `runtime` is what it needs to see of this machine
- `worker_wire`  the messages between the front and a worker, which is taken for hostile
- `result`       the values that cross

A worker, which meets hostile bytes:

- `worker`       the program in the sandbox: builds signatures, or scans one content after another
- `confinement`  what it gives up by itself before that; `seccomp` is its filter of system calls
- `signatures`   reads all signatures into a bundle, makes engines from one; `bundle` is its form
- `inspection`   shows one content to all engines, and each member of what it unpacks to
- `containers`   tells containers from ordinary files by a few bytes
- `unpacking`    the members of a container; `budget` bounds them
- `archive`      libarchive, which reads them; `salvage` is for compressed files that break off
- `engines`      what looks at a content, one file each
- `labels`       makes names that came from hostile bytes safe to print
- `data`         the rules and lists that ship: `data/yara`, `data/hashes`
"""
