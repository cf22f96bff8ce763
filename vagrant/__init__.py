"""The lab: an SVM and two guests in real virtual machines, by Vagrant on libvirt. See docs/lab.md.

- `build_box` (build-box): makes the boxes, by the means of `svm-host image build`.
- `Vagrantfile`: the machines, and how guests enrol; `provision/`: what is run in them when they are new.
- `machines`: commands in them, over plain ssh.
- `story`: what is shown, a function for each part of it.
- `lab_test` (lab-test): runs that on machines that are up.
"""
