"""An SVM and guests in real virtual machines, under QEMU's own emulation.

- `test_story`  `make real-vms`, a part of `.ci/run`: an SVM and three guests on one host, some five minutes
- the others    with `make real-vms ALL=1` too, half an hour: each part further than the story goes (an
  upgrade, a stolen token, machines without a controller, images that are the same twice, cloud-init)
"""
