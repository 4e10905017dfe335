#!/bin/bash
# Measures a world's quality on held-out worlds: ops/bench/quality.sh CHECKPOINT OUT [DEVICE]
#
# CHECKPOINT is a folder of the published layout, such as `worldloom train export-all` writes: with the base model in it,
# few steps are compared with many. On a GPU all measurements run beside each other and play many worlds at a time, about
# two minutes on an H200; on a CPU one after another. Each leaves OUT/NAME.zip with its JSON, pictures, tables and log as
# soon as it is done; one that fails stops no other. Set by the environment: WORLDS (8), how many are played; EXTRA,
# options for all, such as '--preset tiny'; COMMIT, where the code lies outside a checkout; PYTHON, where the package is
# not installed: PYTHON='env PYTHONPATH=typings python3'.
# For the page of figures: `unzip -o OUT/\*.zip -d ops/bench/results/quality`, then `worldloom eval page`.
set -u
checkpoint=$1 out=$2 device=${3:-auto}
python=${PYTHON:-python3} worlds=${WORLDS:-8}
half=$(((worlds + 1) / 2))
work=$(mktemp -d)
mkdir -p "$out"
if [[ $device == auto ]]; then
    device=$($python -c 'import torch; print("cuda:0" if torch.cuda.is_available() else "cpu")')
fi

measure() { # name, device, measurement, its options …
    local name=$1 place=$2 folder=$work/$1 began=$SECONDS code=0
    shift 2
    mkdir -p "$folder"
    # shellcheck disable=SC2086
    $python -m worldloom.train.evaluation "$@" ${EXTRA:-} --checkpoint "$checkpoint" --device "$place" \
        --at-once "$at_once" ${COMMIT:+--commit "$COMMIT"} --json "$folder/$name.json" --pictures "$folder" --pictured 2 \
        > "$folder/$name.md" 2> "$folder/$name.log" || code=$?
    [[ $code == 0 ]] && rm "$folder/$name.log"
    $python -m zipfile -c "$work/$name.zip" "$folder" && mv "$work/$name.zip" "$out/"
    echo "$name on $place: $([[ $code == 0 ]] && echo done || tail -n 1 "$folder/$name.log") ($((SECONDS - began)) s)"
    return $code
}

precision() { # kind, worlds; the CPU emulates what a GPU cannot compute
    measure "precision-$1" "$device" precision --precision "$1" --worlds "$2" ||
        { [[ $device != cpu ]] && measure "precision-$1" cpu precision --precision "$1" --worlds "$2"; }
}

if [[ $device == cpu ]]; then
    at_once=1
    begin() { "$@"; }
else
    at_once=32
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
    begin() { "$@" & }
fi
begin measure drift "$device" drift --worlds "$half"
begin measure revisit "$device" revisit --worlds "$worlds"
begin measure control "$device" control --worlds "$worlds"
begin measure decoder "$device" decoder --worlds "$worlds"
begin precision int8 "$worlds"
begin precision fp8 "$half"
wait
cat "$work"/*/*.md > "$out/tables.md"
grep '^- ' "$out/tables.md"
rm -r "$work"
