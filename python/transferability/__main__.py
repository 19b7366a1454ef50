"""Run the command line: ``python -m transferability``."""

from .cli import main

main(prog_name="transferability")
