"""The commands of `svm-host`, one file each; `program` reads the command line."""
