#!/usr/bin/env bash
# Tests, speed and training on one data-centre GPU, on a machine with Python, torch and numpy only, without network.
#
#   benchmarks/gpu.sh pack FOLDER [CLIPS [EXPERT]]   here: write code, wheels, clips and the sync expert to FOLDER
#   OUT=RESULTS benchmarks/gpu.sh run                there, in FOLDER: run for MINUTES (25); results go to RESULTS
#
# The trainings continue in each run from the checkpoints in STATE (FOLDER/state). PARTS chooses parts of a run:
# install tests speed train weights. A part that fails or exceeds its time does not stop the others; RESULTS/parts.tsv
# has the exit code of each (124: out of time). docs/training.md explains the settings.
set -u
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-python3}
REQUIREMENTS=benchmarks/gpu_requirements.txt

pack() { # FOLDER [CLIPS [EXPERT]]
  local folder=$1 clips=${2:-data/clips} expert=${3:-artifacts/train_syncnet/model} version
  [ ! -e "$folder" ] || { echo "$folder exists; name a new folder" >&2; exit 2; }
  set -e
  rm -rf "$folder.part"
  mkdir -p "$folder.part/wheels"
  tar -c --exclude=__pycache__ --exclude='judges/*/*' models pipeline benchmarks tests/__init__.py tests/gpu params.yaml \
    pyproject.toml | tar -x -C "$folder.part"
  if [ "${WHEELS:-1}" = 1 ]; then # a wheel may fit one version of Python only
    for version in ${PYTHON_VERSIONS:-$($PYTHON -c 'import sys; print("%d.%d" % sys.version_info[:2])')}; do
      $PYTHON -m pip download -q --disable-pip-version-check --only-binary=:all: --python-version "$version" \
        -d "$folder.part/wheels" -r $REQUIREMENTS
    done
  fi
  $PYTHON -m benchmarks.gpu_pack "$clips" "$expert" "$folder.part" --max-mib "${MAX_MIB:-64}" --quality "${QUALITY:-95}"
  mv "$folder.part" "$folder"
  du -sh "$folder"
}

part() { # NAME SECONDS COMMAND...
  local name=$1 seconds=$2 code began=$SECONDS
  shift 2
  timeout -k 20 "$seconds" "$@" >"$OUT/$name.log" 2>&1
  code=$?
  printf '%s\t%d\t%d\n' "$name" "$code" $((SECONDS - began)) | tee -a "$OUT/parts.tsv"
}

train() { # the networks share the time that is left; each has a minute beyond its limit for start and end
  local networks=(${NETWORKS:-lstm_cbam no_lstm_cbam}) num=0 network seconds
  for network in "${networks[@]}"; do
    seconds=$(((MINUTES * 60 - SECONDS - 30) / (${#networks[@]} - num) - 60))
    [ $seconds -gt 0 ] || seconds=0
    num=$((num + 1))
    part "train_$network" $((seconds + 60)) $PYTHON -m benchmarks.gpu_train "$network" . "$STATE" \
      --seconds $seconds --steps "${STEPS:-8000}" --width "${WIDTH:-1}" --device "${DEVICE:-cuda}" \
      --clips-per-batch "${BATCH:-64}" --learning-rate "${LEARNING_RATE:-0.0001}" \
      --checkpoint-every "${CHECKPOINT_EVERY:-200}"
    mkdir -p "$OUT/$network" && cp "$STATE/$network/curve.csv" "$OUT/$network/"
  done
}

weights() { # whole, or in pieces of PIECE_MIB, of which PIECES names those to copy
  local network target piece
  for network in ${NETWORKS:-lstm_cbam no_lstm_cbam}; do
    target=$OUT/$network
    mkdir -p "$target" && cp "$STATE/$network/model/model.json" "$target/" || continue
    if [ -z "${PIECE_MIB:-}" ]; then cp "$STATE/$network/model/weights.safetensors" "$target/"; continue; fi
    split -d -a 2 -b "${PIECE_MIB}m" "$STATE/$network/model/weights.safetensors" "$target/weights.safetensors."
    for piece in "$target"/weights.safetensors.*; do
      [[ -z ${PIECES:-} || " $PIECES " == *" ${piece##*.} "* ]] || rm "$piece"
    done
  done
}

run() {
  local name
  : "${OUT:?set OUT to the folder for the results}"
  $PYTHON -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed" >&2; exit 2; }
  MINUTES=${MINUTES:-25} STATE=${STATE:-$PWD/state}
  mkdir -p "$OUT" "$STATE" && OUT=$(cd "$OUT" && pwd) && STATE=$(cd "$STATE" && pwd) || exit 2
  printf 'part\texit_code\tseconds\n' >"$OUT/parts.tsv"
  export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}:$PWD/site" # the wheels come behind the machine's own packages
  for name in ${PARTS:-install tests speed train weights}; do
    case $name in
      install) part install 120 $PYTHON -m pip install -q --disable-pip-version-check --no-index --find-links wheels \
        --target site --upgrade -r $REQUIREMENTS ;;
      tests) part tests 180 $PYTHON -m pytest -q -rs -p no:cacheprovider tests/gpu ;;
      speed) part speed "${SPEED_S:-420}" $PYTHON -m benchmarks.gpu_speed "$OUT/speed.json" --width "${WIDTH:-1}" \
        --clips "${BATCH:-64}" --steps "${SPEED_STEPS:-20}" --device "${DEVICE:-cuda}" \
        ${PEAK_TFLOPS:+--peak-tflops "$PEAK_TFLOPS"} ;;
      train) train ;;
      weights) weights ;;
      *) echo "PARTS has no part $name; it has install, tests, speed, train and weights" >&2; exit 2 ;;
    esac
  done
  ! awk -F '\t' 'NR > 1 && $2 != 0 { failed = 1 } END { exit !failed }' "$OUT/parts.tsv"
}

case "${1:-}:$#" in
  pack:[234]) shift; pack "$@" ;;
  run:1) run ;;
  *) echo "usage: benchmarks/gpu.sh pack FOLDER [CLIPS [EXPERT]], or OUT=RESULTS benchmarks/gpu.sh run" >&2; exit 2 ;;
esac
