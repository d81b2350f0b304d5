"""``python -m bench`` is ``rtfloor``."""

from bench.cli import main

if __name__ == "__main__":
    main()
