"""`python -m rethought` does what the command `rethought` does."""

from rethought.cli import main

if __name__ == "__main__":
    main()
