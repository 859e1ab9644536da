#!/usr/bin/env bash
# Tests, speed and training on one data-centre GPU, on a machine with Python, torch and numpy only, without network.
#
#   benchmarks/gpu.sh pack FOLDER [CLIPS [EXPERT]]   here: write code, wheels, clips and the sync expert to FOLDER
#   OUT=RESULTS benchmarks/gpu.sh run                there, in FOLDER: run for MINUTES (25); results go to RESULTS
#
# The trainings continue in each run from the checkpoints in STATE (state in FOLDER). PARTS chooses parts of a run:
# install tests speed train weights. A part that fails or exceeds its time does not stop the others; RESULTS/parts.tsv
# has the exit code of each (124: out of time). Relative paths start at the folder of the caller. docs/training.md
# explains the settings.
set -u
CALLER=$PWD
PYTHON=${PYTHON:-python3}
REQUIREMENTS=benchmarks/gpu_requirements.txt

absolute() { # PATH
  case $1 in /*) echo "$1" ;; *) echo "$CALLER/$1" ;; esac
}

refuse() { # MESSAGE
  echo "$1" >&2
  exit 2
}

pack() { # FOLDER [CLIPS [EXPERT]]
  local folder clips=data/clips expert=artifacts/train_syncnet/model version
  folder=$(absolute "$1")
  [ $# -lt 2 ] || clips=$(absolute "$2")
  [ $# -lt 3 ] || expert=$(absolute "$3")
  [ ! -e "$folder" ] || refuse "$folder exists; name a new folder"
  set -e -o pipefail
  mkdir -p "$(dirname "$folder")"
  UNFINISHED=$(mktemp -d "$folder.XXXXXX") # replaces no folder of the user
  trap 'rm -rf "$UNFINISHED"' EXIT
  trap 'exit 143' TERM HUP
  trap 'exit 130' INT
  chmod 755 "$UNFINISHED"
  mkdir "$UNFINISHED/wheels"
  tar -c --exclude=__pycache__ --exclude='judges/*/*' models pipeline benchmarks tests/__init__.py tests/gpu params.yaml \
    pyproject.toml | tar -x -C "$UNFINISHED"
  if [ "${WHEELS:-1}" = 1 ]; then # a wheel may fit one version of Python only
    for version in ${PYTHON_VERSIONS:-$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}; do
      "$PYTHON" -m pip download -q --disable-pip-version-check --only-binary=:all: --python-version "$version" \
        -d "$UNFINISHED/wheels" -r $REQUIREMENTS
    done
  fi
  "$PYTHON" -m benchmarks.gpu_pack "$clips" "$expert" "$UNFINISHED" --max-mib "${MAX_MIB:-64}" \
    --quality "${QUALITY:-95}" --clips-per-batch "${BATCH:-64}"
  mv "$UNFINISHED" "$folder"
  du -sh "$folder"
}

finished() { # NAME CODE BEGAN
  printf '%s\t%d\t%d\n' "$1" "$2" $((SECONDS - $3)) | tee -a "$OUT/parts.tsv"
  [ "$2" = 0 ] || tail -n 5 "$OUT/$1.log" >&2
  return "$2"
}

part() { # NAME SECONDS COMMAND...
  local name=$1 seconds=$2 began=$SECONDS
  shift 2
  timeout -k 30 "$seconds" "$@" >"$OUT/$name.log" 2>&1
  finished "$name" $? "$began"
}

training() { # NETWORK SECONDS DEVICE: sets TRAINING to the command of a training
  TRAINING=("$PYTHON" -m benchmarks.gpu_train "$1" . "$STATE" --started "$(date +%s)" --seconds "$2" --device "$3"
    --steps "${STEPS:-8000}" --width "${WIDTH:-1}" --clips-per-batch "${BATCH:-64}"
    --learning-rate "${LEARNING_RATE:-0.0001}" --checkpoint-every "${CHECKPOINT_EVERY:-500}")
}

train() { # the networks share the time that is left; each has a minute beyond its limit for start and end
  local num_left=${#NETWORKS[@]} network seconds
  for network in "${NETWORKS[@]}"; do
    seconds=$(((MINUTES * 60 - SECONDS - 30) / num_left - 60))
    num_left=$((num_left - 1))
    if [ $seconds -le 0 ]; then
      echo "no time is left; raise MINUTES, or run PARTS='train weights'" >"$OUT/train_$network.log"
      finished "train_$network" 124 "$SECONDS"
      continue
    fi
    mkdir -p "$STATE/$network" && : >"$STATE/$network/began"
    training "$network" "$seconds" "${DEVICE:-cuda}"
    part "train_$network" $((seconds + 60)) "${TRAINING[@]}"
    # An earlier run may have left a curve that this one did not replace.
    if [ -e "$STATE/$network/curve.csv" ] && [ ! "$STATE/$network/curve.csv" -ot "$STATE/$network/began" ]; then
      mkdir -p "$OUT/$network" && cp "$STATE/$network/curve.csv" "$OUT/$network/"
    else
      echo "train_$network made no curve"
    fi
  done
}

weights() { # of all networks; a part of its own, so that a missing model is seen in parts.tsv
  local began=$SECONDS network code=0
  : >"$OUT/weights.log"
  for network in "${NETWORKS[@]}"; do
    if is_behind "$STATE/$network"; then # the training was killed; this makes the model of its last checkpoint
      training "$network" 0 cpu
      timeout -k 30 120 "${TRAINING[@]}" >>"$OUT/weights.log" 2>&1
    fi
    copy_weights "$STATE/$network" "$OUT/$network" >>"$OUT/weights.log" 2>&1 || code=1
  done
  finished weights $code "$began"
}

is_behind() { # STATE_OF_NETWORK: whether the model is that of an earlier checkpoint
  [ "$1/model/model.json" -ot "$1/next.pt" ] || [ "$1/model/model.json" -ot "$1/last.pt" ]
}

copy_weights() { # STATE_OF_NETWORK TARGET: whole, or in pieces of PIECE_MIB, of which PIECES names those to copy
  local model=$1/model target=$2 piece
  ! is_behind "$1" || { echo "$model is older than the last checkpoint" >&2; return 1; }
  mkdir -p "$target" && rm -f "$target"/weights.safetensors* && cp "$model/model.json" "$target/" || return 1
  if [ -z "${PIECE_MIB:-}" ]; then
    cp "$model/weights.safetensors" "$target/"
    return
  fi
  split -d -a 2 -b "${PIECE_MIB}m" "$model/weights.safetensors" "$target/weights.safetensors." || return 1
  for piece in "$target"/weights.safetensors.*; do
    [[ -z ${PIECES:-} || " $PIECES " == *" ${piece##*.} "* ]] || rm "$piece"
  done
}

require_packages() { # installs the wheels also if they are missing, since tests, speed and train need them
  local imports='import PIL, psutil, pydantic, pytest, safetensors, threadpoolctl, typer, yaml'
  if [[ " $PARTS " == *" install "* ]] || ! "$PYTHON" -c "$imports" 2>/dev/null; then
    part install 120 "$PYTHON" -m pip install -q --disable-pip-version-check --no-index --find-links wheels \
      --target site --upgrade -r $REQUIREMENTS
  fi
  "$PYTHON" -c "$imports" || refuse "the wheels in $PWD/wheels do not fit $("$PYTHON" --version); pack with WHEELS=1 \
and PYTHON_VERSIONS set to its version, such as 3.12"
}

run() {
  local name
  read -ra NETWORKS <<<"${NETWORKS:-lstm_cbam no_lstm_cbam}"
  MINUTES=${MINUTES:-25} PARTS=${PARTS:-install tests speed train weights}
  [[ $MINUTES =~ ^[1-9][0-9]*$ ]] || refuse "MINUTES is $MINUTES; it must be a whole number from 1"
  for name in $PARTS; do
    [[ " install tests speed train weights " == *" $name "* ]] ||
      refuse "PARTS has no part $name; it has install, tests, speed, train and weights"
  done
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || refuse "Python 3.11 or later is needed"
  : "${OUT:?set OUT to the folder for the results}"
  OUT=$(absolute "$OUT") STATE=$(absolute "${STATE:-$PWD/state}")
  mkdir -p "$OUT" "$STATE" || exit 2
  printf 'part\texit_code\tseconds\n' >"$OUT/parts.tsv"
  # The wheels come before the machine's own packages, so that the versions are those of the requirements.
  export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}:$PWD/site"
  export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 # the machine's plugins may need another pytest
  export PYTHONUNBUFFERED=1               # a part that is killed leaves all its output
  export TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$STATE/compiled}" # for the next run
  export TRITON_CACHE_DIR="${TRITON_CACHE_DIR:-$STATE/compiled/triton}"
  require_packages
  for name in $PARTS; do
    case $name in
      tests) part tests 180 "$PYTHON" -m pytest -q -rs -p no:cacheprovider tests/gpu ;;
      speed) part speed "${SPEED_S:-$((MINUTES * 17))}" "$PYTHON" -m benchmarks.gpu_speed "$OUT/speed.json" \
        --width "${WIDTH:-1}" --clips "${BATCH:-64}" --steps "${SPEED_STEPS:-20}" --device "${DEVICE:-cuda}" \
        ${PEAK_TFLOPS:+--peak-tflops "$PEAK_TFLOPS"} ;;
      train) train ;;
      weights) weights ;;
    esac
  done
  ! awk -F '\t' 'NR > 1 && $2 != 0 { failed = 1 } END { exit !failed }' "$OUT/parts.tsv"
}

case $PYTHON in */*) PYTHON=$(absolute "$PYTHON") ;; esac
cd "$(dirname "$0")/.." || exit 2
case "${1:-}:$#" in
  pack:[234]) shift; pack "$@" ;;
  run:1) run ;;
  *) refuse "usage: benchmarks/gpu.sh pack FOLDER [CLIPS [EXPERT]], or OUT=RESULTS benchmarks/gpu.sh run" ;;
esac
