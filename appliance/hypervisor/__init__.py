"""The host agent, `svm-host`: what runs on a KVM host beside libvirt, with the right over it that no SVM has.

It talks to the SVM as an administrator of its own role. Its rooms:

- `cli`: its commands, one file each.
- `image`: makes the images of an SVM, and of guests for trials, from Debian packages.
- `serving`: how the parts of `svm-host serve` run, which `parts` lists; `changes`: what each of them hears of
  the machines; `svm_line`: its way to the SVM; `service`: what systemd hears.
- `files`: small files of its state, whole or not there.
- `inventory`: which machines there are, followed and told to the SVM.
- `isolation`: machines cut off from their networks, by order or after a detection, and given them back.
- `virt`: libvirt, which nothing else imports: connections, domains, networks, volumes, events.
- `deploy`: an SVM on a host: made whole or taken back, upgraded, removed.
- `settings`: its file of settings. `vm`: what is known of a machine, without any I/O.
"""
