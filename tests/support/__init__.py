"""What tests share: real parts to run against, parts that misbehave, and contents.

Both sides, real:
- `svm`                a whole SVM in this process, and a guest that speaks its wire by hand
- `svm_process`        `svm serve` in a process of its own
- `commands`           `svm` commands within a test, as a person would type them
- `clamd`              a clamd on signatures of one's own
- `scanning`           workers, and contents for them

Real machines:
- `kvm_host`           a libvirtd and QEMU apart from the machine's own
- `vm_images`          images of SVM and guest, made once; `vm_shell` is the way into what boots from them
- `vm_site`            a host with a deployed SVM, and guests
- `telling`            a story of several steps

One side alone, able to misbehave:
- `guest_side_server`  what a stub talks to
- `admin_side_server`  what the `svm` commands talk to
- `odd_worker`         a worker that does to the front what a content tells it to

Contents and files:
- `contents`           EICAR and its like
- `archives`           containers of every form, made on the spot
- `held_files`         files as a guest holds them
- `page_cache`         what of a file is in the page cache
- `properties`         how patient tests of properties are
"""
