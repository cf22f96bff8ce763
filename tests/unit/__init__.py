"""One file for each module, in the tree of the sources; test_layout holds that."""
