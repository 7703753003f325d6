"""nncli: composable commands that find out how neural networks behave.

The package is also a library: its modules are pure functions on arrays and torch modules.
`nncli.formats` reads and writes the artifacts, `nncli.commands` holds one file a subcommand.
"""

__version__ = "0.1.0"
