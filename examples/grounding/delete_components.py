"""Captures of which one layer keeps its largest principal components alone.

python delete_components.py LAYER captures/ deleted/ 32 16 8
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file


def main(layer, captures, deleted, ranks):
    """Write a file for each capture and number of components, and one for the whole layer."""
    for path in sorted(captures.glob("*.safetensors")):
        stored = load_file(path)
        about = {name: stored[name] for name in ("@example_id", "@label")}
        x = stored[layer].astype(np.float64)
        mean = x.mean(axis=0)
        u, values, vt = np.linalg.svd(x - mean, full_matrices=False)
        for kept in (len(values), *ranks):
            left = mean + (u[:, :kept] * values[:kept]) @ vt[:kept]
            name = f"{path.stem}-kept-{kept}.safetensors"
            save_file({layer: left.astype(np.float32), **about}, deleted / name)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), list(map(int, sys.argv[4:])))
