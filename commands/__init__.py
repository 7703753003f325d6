"""The subcommands of `nncli`, one file each: options, artifacts in, numerics, artifacts out."""
