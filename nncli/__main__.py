"""`python -m nncli` is the same as `nncli`."""

from nncli.cli import main

main()
