#!/usr/bin/env bash
# The kernels on the other instruction set: compiled for aarch64 without warnings, and
# their tests run in an emulator. So the NEON variants are compared with the scalar ones
# where there is no such processor; what they gain cannot be seen there.
#
#   tests/aarch64.sh
#
# Needs the compiler's target (`rustup target add aarch64-unknown-linux-gnu`), a linker
# and an emulator (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user).
# SPECK_FUZZ_CASES is how many shapes a random test tries, here 40 if it is not set:
# emulation makes a case ten to a hundred times as slow.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v $tool >/dev/null; then
        echo "$tool is missing: see the head of this script" >&2
        exit 1
    fi
done
export SPECK_FUZZ_CASES=${SPECK_FUZZ_CASES:-40}
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
export RUSTFLAGS="-D warnings"
cargo test --locked --target $target -p speck-kernels --lib --test fuzz
