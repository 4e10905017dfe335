#!/bin/bash
# Several GPUs of one machine: first whether they agree with one, then what they gain. Writes JSON to $1.
#   COMMIT=HASH PYTHONPATH=typings ops/bench/parallel.sh OUT 2 [check] [bench-5b] [bench-28b] [times]
# Without names of parts all of them run.
# A part that fails does not stop the rest; the last lines say which did.
set -u
out=$1
gpus=${2:-2}
shift 2
wanted=" ${*:-check bench-5b bench-28b times} "
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

is_wanted() { [[ $wanted == *" $1 "* ]]; }

if is_wanted check; then
    check --preset mg3-5b --precision bf16
    check --preset mg3-5b --precision fp8 --head-chunks 2
    check --preset mg3-5b --precision fp8-attn
    check --preset mg3-28b --precision fp8
    check --preset mg3-28b --precision fp8 --front $((gpus - gpus / 2))
fi
if is_wanted bench-5b; then
    bench "mg3-5b_x1_s1" --preset mg3-5b --chunks 20
    bench "mg3-5b_x${gpus}_replicated_s1" --preset mg3-5b --gpus "$gpus" --placement replicated --chunks 20
    bench "mg3-5b_x${gpus}_bands_s1" --preset mg3-5b --gpus "$gpus" --placement replicated --bands --chunks 20
    bench "mg3-5b_x${gpus}_single_s${gpus}" --preset mg3-5b --gpus "$gpus" --placement single --sessions "$gpus" \
        --chunks 20
fi
if is_wanted bench-28b; then
    bench "mg3-28b_x${gpus}_replicated_s1" --preset mg3-28b --gpus "$gpus" --placement replicated --chunks 12
    bench "mg3-28b_x${gpus}_bands_s1" --preset mg3-28b --gpus "$gpus" --placement replicated --bands --chunks 12
    for sessions in 2 4; do
        bench "mg3-28b_x${gpus}_replicated_s$sessions" --preset mg3-28b --gpus "$gpus" --placement replicated \
            --sessions $sessions --chunks 8
        bench "mg3-28b_x${gpus}_pipelined_s$sessions" --preset mg3-28b --gpus "$gpus" --placement pipelined \
            --sessions $sessions --chunks 8
    done
fi
if is_wanted times; then
    times --preset mg3-5b --precision fp8 --head-chunks 1 2 3 --json "$out/ranks-5b-fp8.json"
    times --preset mg3-28b --precision fp8 --head-chunks 1 2 --json "$out/ranks-28b-fp8.json"
    times --preset mg3-5b --precision fp8-attn --head-chunks 1 --json "$out/ranks-5b-fp8-attn.json"
    times --preset mg3-5b --precision bf16 --head-chunks 1 --json "$out/ranks-5b-bf16.json"
    for size in 4 8; do
        share --preset mg3-5b --precision fp8 --share-of $size --head-chunks 1 2 --json "$out/share-$size-5b.json"
        share --preset mg3-28b --precision fp8 --share-of $size --head-chunks 1 2 --json "$out/share-$size-28b.json"
    done
    # Where xDiT is installed: its attention beside ours.
    if python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("xfuser") is None)'; then
        check --preset mg3-5b --precision bf16 --xdit-ring 1
        times --preset mg3-5b --precision bf16 --head-chunks 1 --xdit-ring 1 --json "$out/xdit-ulysses.json"
        times --preset mg3-5b --precision bf16 --head-chunks 1 --xdit-ring "$gpus" --json "$out/xdit-ring.json"
    fi
fi
echo "failed: ${failed[*]:-nothing}"
