"""The host agent, `svm-host`: what runs on a KVM host beside libvirt, with the right over it that no SVM has.

It talks to the SVM as an administrator of its own role. Its rooms:

- `cli`: its commands, one file each.
- `serving`: what `svm-host serve` runs, part by part; `changes`: what each of them hears of the machines;
  `svm_line`: its way to the SVM.
- `virt`: libvirt, which nothing else imports: connections, domains, networks, volumes, events.
- `settings`: its file of settings. `vm`: what is known of a machine, without any I/O.
"""
