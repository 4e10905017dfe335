#!/bin/bash
# Several GPUs of one machine: first whether they agree with one, then what they gain. Writes JSON to $1.
#   COMMIT=HASH PYTHONPATH=typings ops/bench/parallel.sh OUT 2
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
bench() { # name, then options of worldloom bench
    local name=$1
    shift
    part "bench $name" 200 python -m worldloom.serve.bench --random-weights --precision fp8 --decoder p75 \
        --commit "${COMMIT:-unknown}" --json "$out/$name.json" "$@"
}
times() { part "times $*" 150 bash -c "ranks worldloom.parallel.timing $*"; }
share() { part "a share, $*" 90 python -m worldloom.parallel.timing "$@"; }

check --preset mg3-5b --precision bf16
check --preset mg3-5b --precision fp8 --head-chunks 2
check --preset mg3-5b --precision fp8-attn
bench "mg3-5b_x${gpus}_replicated_s1" --preset mg3-5b --gpus "$gpus" --placement replicated --chunks 20
bench "mg3-5b_x${gpus}_replicated_bands_s1" --preset mg3-5b --gpus "$gpus" --placement replicated --bands --chunks 20
bench "mg3-28b_x${gpus}_replicated_s1" --preset mg3-28b --gpus "$gpus" --placement replicated --chunks 20
bench "mg3-28b_x${gpus}_replicated_s2" --preset mg3-28b --gpus "$gpus" --placement replicated --sessions 2 --chunks 10
bench "mg3-28b_x${gpus}_pipelined_s2" --preset mg3-28b --gpus "$gpus" --placement pipelined --sessions 2 --chunks 10
bench "mg3-5b_x${gpus}_single_s${gpus}" --preset mg3-5b --gpus "$gpus" --placement single --sessions "$gpus" --chunks 20
bench "mg3-5b_x1_s1" --preset mg3-5b --chunks 20
times --preset mg3-5b --precision fp8 --head-chunks 1 2 3 --json "$out/ranks-5b-fp8.json"
times --preset mg3-28b --precision fp8 --head-chunks 1 2 --json "$out/ranks-28b-fp8.json"
for size in 4 8; do
    share --preset mg3-5b --precision fp8 --share-of $size --head-chunks 1 2 --json "$out/share-of-$size-5b-fp8.json"
    share --preset mg3-28b --precision fp8 --share-of $size --head-chunks 1 2 --json "$out/share-of-$size-28b-fp8.json"
done
times --preset mg3-5b --precision fp8-attn --head-chunks 1 --json "$out/ranks-5b-fp8-attn.json"
times --preset mg3-5b --precision bf16 --head-chunks 1 --json "$out/ranks-5b-bf16.json"
# Where xDiT is installed, which needs a network: its attention beside ours.
if python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("xfuser") is None)'; then
    check --preset mg3-5b --precision bf16 --xdit-ring 1
    times --preset mg3-5b --precision bf16 --head-chunks 1 --xdit-ring 1 --json "$out/ranks-5b-bf16-xdit.json"
    times --preset mg3-5b --precision bf16 --head-chunks 1 --xdit-ring "$gpus" --json "$out/ranks-5b-bf16-xdit-ring.json"
fi
echo "failed: ${failed[*]:-nothing}"
