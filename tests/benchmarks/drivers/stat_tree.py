"""os.walk and lstat of every entry of a tree, as a whole command: `stat_tree.py PATH`."""

import os
import sys


def main() -> None:
    """Walk, and print how many entries there were."""
    count = 0
    for directory, folders, names in os.walk(sys.argv[1]):
        for name in folders + names:
            os.lstat(os.path.join(directory, name))
            count += 1
    print(count)


if __name__ == "__main__":
    main()
