"""The program `disk-reader`, module by module, in this process."""
