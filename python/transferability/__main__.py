"""Let ``python -m transferability`` run the command line."""

from .cli import main

main(prog_name="transferability")
