"""`python -m kdbench`: the command line without its script."""

from kdbench.cli import main

main()
