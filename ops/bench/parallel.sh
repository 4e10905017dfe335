#!/bin/bash
# Several GPUs of one machine: first whether they agree with one, then what they gain. Writes JSON to $1.
#   PYTHONPATH=typings ops/bench/parallel.sh OUT 2
# A part that fails does not stop the rest; the last lines say which did.
set -u
out=$1
gpus=${2:-2}
failed=()

part() { # name, seconds, command …
    local name=$1 seconds=$2
    shift 2
    echo "== $name"
    timeout "$seconds" "$@" 2>&1 || failed+=("$name")
}

ranks() { python -m torch.distributed.run --standalone --nproc-per-node="$gpus" -m "$@"; }
export -f ranks
export gpus out
mkdir -p "$out"

check() { part "check $*" 120 bash -c "ranks worldloom.parallel.check $*"; }
times() { part "times $*" 150 bash -c "ranks worldloom.parallel.timing $*"; }
share() { part "a share, $*" 90 python -m worldloom.parallel.timing "$@"; }

check --preset mg3-5b --precision bf16
check --preset mg3-5b --precision fp8 --head-chunks 2
times --preset mg3-5b --precision fp8 --head-chunks 1 2 3 --json "$out/ranks-5b-fp8.json"
times --preset mg3-28b --precision fp8 --head-chunks 1 2 --json "$out/ranks-28b-fp8.json"
for size in 4 8; do
    share --preset mg3-5b --precision fp8 --share-of $size --head-chunks 1 2 --json "$out/share-of-$size-5b-fp8.json"
    share --preset mg3-28b --precision fp8 --share-of $size --head-chunks 1 2 --json "$out/share-of-$size-28b-fp8.json"
done
times --preset mg3-5b --precision bf16 --head-chunks 1 --json "$out/ranks-5b-bf16.json"
echo "failed: ${failed[*]:-nothing}"
