#!/usr/bin/env bash
# Train two networks that differ only in their seed on real handwritten digits, keep what their
# layers put out for images neither has seen, and look at how alike the layers are.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p demo && cd demo

say() { printf '\n$ %s\n' "$*"; "$@"; }

say nncli train --arch cnn:1x8x8-c16-c16-p-c32-c32-p-64-10 --steps 400 --seed 0..1 -o runs/
say nncli capture runs/seed-0.safetensors --data digits --split test -o a.safetensors
say nncli capture runs/seed-1.safetensors --data digits --split test -o b.safetensors
say nncli compare a.safetensors b.safetensors -o grid.parquet
say nncli plot grid.parquet -o grid.png
say nncli plot grid.parquet -f text
printf '\nThe same as a picture: demo/grid.png\n'
