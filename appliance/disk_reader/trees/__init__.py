"""File systems: directories, regular files and their bytes. One module a kind; `table` lists them."""
