"""An SVM and guests in real virtual machines, under QEMU's own emulation: `make real-vms`."""
