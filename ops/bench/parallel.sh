#!/bin/bash
# Several GPUs of one machine: first whether they agree with one, then what they gain. Needs torchrun, not Ray.
#
#   COMMIT=HASH PYTHONPATH=typings ops/bench/parallel.sh OUT GPUS PART...
#
# Parts, in the order in which they are worth their time; each fits into the default budget on two H200s, by estimate:
#   check                 bits and errors of 2 placements, 3 precisions and both kinds of clip, before any timing
#   bench-5b-shared       one GPU, then all of them on every step: 1 and 2 sessions
#   bench-28b-pipelined   the mixture, an expert on each side: 1, 2 and 4 sessions
#   bench-28b-replicated  likewise, all GPUs on every step
#   bench-5b-single       GPUs with sessions of their own: one each, and 4; then pictures decoded in bands
#   times                 a step with and without its messages, by chunks of heads
#   shares                one GPU's share of 4 and of 8, of groups that are not there
#   xdit                  xDiT's attention beside ours, where it is installed
#
# Every figure is packed into OUT/figures.tar.gz as it comes. A part that fails does not stop the rest; the last lines
# say which did. From the environment:
#   BUDGET_S    of the whole call (240): what would begin too late is skipped, and named
#   LIMIT_S     of each command (BUDGET_S)
#   SMALL LARGE presets (mg3-5b, mg3-28b), DEVICE (auto), PRECISION (fp8), CHUNKS of each world (20, 8 for LARGE):
#               with SMALL=tiny LARGE=MIXTURE.toml DEVICE=cpu PRECISION=bf16 CHUNKS=2 all of it runs on a CPU
set -u
out=$1 gpus=$2
shift 2
wanted=" ${*:-check bench-5b-shared bench-28b-pipelined bench-28b-replicated bench-5b-single times shares xdit} "
budget=${BUDGET_S:-240}
limit=${LIMIT_S:-$budget}
small=${SMALL:-mg3-5b} large=${LARGE:-mg3-28b} device=${DEVICE:-auto} precision=${PRECISION:-fp8}
least=20 # seconds without which nothing is begun
failed=() skipped=()
# The ranks are on one machine, whose name may lead nowhere.
export GLOO_SOCKET_IFNAME=${GLOO_SOCKET_IFNAME:-lo} NCCL_NVLS_ENABLE=0 PYTHONUNBUFFERED=1

mkdir -p "$out"
work=$(mktemp -d)

part() { # name, command …: within what is left of the budget
    local name=$1 left=$((budget - SECONDS))
    shift
    if ((left < least)); then
        skipped+=("$name")
        return
    fi
    echo "== $name (at $SECONDS s)"
    timeout --kill-after=10 "$((left < limit ? left : limit))" "$@" 2>&1 | tee -a "$work/log.txt"
    ((PIPESTATUS[0] == 0)) || failed+=("$name")
    tar -C "$work" -czf "$out/figures.new" . && mv "$out/figures.new" "$out/figures.tar.gz"
}

ranks=(python -m torch.distributed.run --standalone "--nproc-per-node=$gpus" -m)

check() { # name, options
    local name=$1
    shift
    part "$name" "${ranks[@]}" worldloom.parallel.check --device "$device" --json "$work/$name.json" "$@"
}
bench() { # name, chunks, options; records are called NAME_sN.json
    local name=$1 chunks=${CHUNKS:-$2}
    shift 2
    part "bench-$name" python -m worldloom.serve.bench --random-weights --precision "$precision" --decoder p75 \
        --device "$device" --chunks "$chunks" --commit "${COMMIT:-unknown}" --json "$work/$name.json" "$@"
}
times() { # name, options
    local name=$1
    shift
    part "$name" "${ranks[@]}" worldloom.parallel.timing --device "$device" --json "$work/$name.json" "$@"
}
share() { # name, options
    local name=$1
    shift
    part "$name" python -m worldloom.parallel.timing --device "$device" --json "$work/$name.json" "$@"
}
is_wanted() { [[ $wanted == *" $1 "* ]]; }

front=$((gpus - gpus / 2))
if is_wanted check; then
    check check-5b-bf16 --preset "$small" --precision bf16
    check check-28b-relay --preset "$large" --precision "$precision" --front $front
    check check-28b --preset "$large" --precision "$precision"
    check check-5b-chunks --preset "$small" --precision "$precision" --head-chunks 2
    [[ $precision != fp8 ]] || check check-5b-fp8-attn --preset "$small" --precision fp8-attn
fi
if is_wanted bench-5b-shared; then
    bench 5b_x1 20 --preset "$small" --sessions 1 --sessions 2
    bench "5b_x${gpus}_replicated" 20 --preset "$small" --gpus "$gpus" --placement replicated --sessions 1 --sessions 2
fi
for placement in pipelined replicated; do
    if is_wanted "bench-28b-$placement"; then
        bench "28b_x${gpus}_$placement" 8 --preset "$large" --gpus "$gpus" --placement $placement --sessions 1 \
            --sessions 2 --sessions 4
    fi
done
if is_wanted bench-5b-single; then
    bench "5b_x${gpus}_single" 20 --preset "$small" --gpus "$gpus" --placement single --sessions "$gpus" --sessions 4
    bench "5b_x${gpus}_bands" 20 --preset "$small" --gpus "$gpus" --placement replicated --bands --sessions 1 \
        --sessions 4
fi
if is_wanted times; then
    times ranks-5b --preset "$small" --precision "$precision" --head-chunks 1 2 3
    times ranks-28b --preset "$large" --precision "$precision" --head-chunks 1 2
    [[ $precision != fp8 ]] || times ranks-5b-fp8-attn --preset "$small" --precision fp8-attn --head-chunks 1
fi
if is_wanted shares; then
    for size in 4 8; do
        share share-$size-28b --preset "$large" --precision "$precision" --share-of $size --head-chunks 1
        share share-$size-5b --preset "$small" --precision "$precision" --share-of $size --head-chunks 1
    done
fi
if is_wanted xdit; then
    if python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("xfuser") is None)'; then
        check check-xdit --preset "$small" --precision bf16 --xdit-ring 1
        times xdit-ulysses --preset "$small" --precision bf16 --head-chunks 1 --xdit-ring 1
        times xdit-ring --preset "$small" --precision bf16 --head-chunks 1 --xdit-ring "$gpus"
    else
        skipped+=("xdit: xfuser is not installed")
    fi
fi
echo "failed: ${failed[*]:-nothing}; skipped: ${skipped[*]:-nothing}; $SECONDS s"
