#!/usr/bin/env bash
# Makes the demo model from nothing: tokenizer, training, export, loss picture.
# usage: train.sh [minutes]      needs Debian's python3-torch and python3-numpy (apt-get install python3-torch); one CPU thread, 1 GB of memory
set -euo pipefail
cd "$(dirname "$0")"
minutes=${1:-70}
run=../../../artifacts/demo
python=/usr/bin/python3
"$python" -c 'import torch' 2>/dev/null || { echo "train.sh: PyTorch for $python is missing; install it with: apt-get install python3-torch" >&2; exit 1; }
"$python" train_tokenizer.py
nice -n 10 "$python" train.py --minutes "$minutes" --out "$run"
"$python" export.py --run "$run"
cp "$run/loss.csv" ../loss.csv
"$python" plot_loss.py
