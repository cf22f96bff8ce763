"""`svm-host` beside a real libvirtd and QEMU, on machines that run no system.

By `make real-vms`, a part of `.ci/run`: they take minutes, most of which libvirt waits.
"""
