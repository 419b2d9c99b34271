#!/bin/sh
# Installs the packages of requirements.lock, by version and hash, into a new virtual environment.
#   envs/install.sh cuda|cpu FOLDER
# PyPI's torch is the CUDA build, which does not load without NVIDIA's libraries (3 GB). `cpu` takes
# torch and torchvision, of the lock's versions, from PyTorch's own index in place of it, which uv
# knows: the lock has no hashes of those two. All else is the same.
set -eu
variant=$1 folder=$2
lock=$(dirname "$0")/../requirements.lock

python3 -m venv "$folder"
pip() { "$folder/bin/python" -m pip --disable-pip-version-check --no-cache-dir "$@"; }
case $variant in
  cuda)
    pip install --require-hashes --requirement "$lock"
    ;;
  cpu)
    awk '/^[^ ]/ { keep = !/^(torch|torchvision|triton)==|^(cuda|nvidia)-/ } keep' "$lock" > "$folder/cpu.lock"
    pip install --no-deps --require-hashes --requirement "$folder/cpu.lock"
    pip install uv
    # shellcheck disable=SC2046 # two words
    "$folder/bin/python" -m uv pip install --no-cache --no-deps --torch-backend cpu \
      --python "$folder/bin/python" \
      $(awk '/^(torch|torchvision)==/ { print $1 }' "$lock")
    ;;
  *)
    echo "$0: expected cuda or cpu, got '$variant'" >&2
    exit 1
    ;;
esac
