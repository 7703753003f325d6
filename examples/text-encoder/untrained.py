"""A Hugging Face folder like another one, with weights that were drawn and never trained.

python untrained.py encoder/ untrained/
"""

import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")


def main(trained, untrained):
    """Write the folder."""
    without = shutil.ignore_patterns(*WEIGHTS)
    shutil.copytree(trained, untrained, ignore=without, dirs_exist_ok=True)
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.from_pretrained(trained)).save_pretrained(untrained)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
