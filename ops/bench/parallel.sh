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

part "check 5B" 120 bash -c 'ranks worldloom.parallel.check --preset mg3-5b --head-chunks 1'
part "check 5B, overlapped" 120 bash -c 'ranks worldloom.parallel.check --preset mg3-5b --head-chunks 2'
part "times 5B" 150 bash -c 'ranks worldloom.parallel.timing --preset mg3-5b --head-chunks 1 2 3 --json $out/parallel-mg3-5b.json'
part "times 28B" 240 bash -c 'ranks worldloom.parallel.timing --preset mg3-28b --head-chunks 1 2 --json $out/parallel-mg3-28b.json'
for share in 4 8; do
    part "a share of $share, 5B" 60 python -m worldloom.parallel.timing --preset mg3-5b --share-of $share \
        --head-chunks 1 2 --json "$out/share-of-$share-mg3-5b.json"
    part "a share of $share, 28B" 120 python -m worldloom.parallel.timing --preset mg3-28b --share-of $share \
        --head-chunks 1 2 --json "$out/share-of-$share-mg3-28b.json"
done
echo "failed: ${failed[*]:-nothing}"
