"""`python -m zarrlink_local.cli`: the same as `zarrlink`."""

from zarrlink_local.cli import main

main()
