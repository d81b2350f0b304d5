#!/usr/bin/env bash
# Everything a GPU can show, in under ten minutes, from a plain checkout: what is here, the counter's self-check, the
# contract over every GPU adapter, and the suite gpu with its report. What it finds lies in OUT afterwards.
#
#   bash results/evidence/gpu/collect.sh OUT [PIECES] [SECONDS]
#
# OUT      folder for logs, run files, peaks and the report
# PIECES   folder made by 'python -m bench.carry pack', for a machine without a network; leave it out elsewhere
# SECONDS  for the rounds of the suite (default 240); preparing and the contract take about two minutes more
set -uo pipefail
cd "$(dirname "$0")/../../.."

out=${1:?name a folder for what is found}
pieces=${2:-}
seconds=${3:-240}
mkdir -p "$out"
out=$(cd "$out" && pwd)
export PYTHONUNBUFFERED=1 RTFLOOR_CACHE="$out/cache"

if [ -n "$pieces" ]; then
  python3 "$pieces/unpack.py" "$pieces" --into "$out/site" || exit
  # Before everything else: NVIDIA's and our packages can both be elsewhere.
  export PYTHONPATH=".:$out/site${PYTHONPATH:+:$PYTHONPATH}"
else
  export PYTHONPATH=".${PYTHONPATH:+:$PYTHONPATH}"
fi

python3 -m bench doctor --device gpu | tee "$out/doctor.txt"
if ! python3 -c 'import sys; from runtimes.gpu.nvml import gpu_names; sys.exit(not gpu_names())'; then
  echo "NOTHING WAS MEASURED: there is no NVIDIA GPU here"
  exit 4
fi
python3 -m runtimes.gpu.counting > "$out/counting.json" || echo "the counter's self-check failed; see counting.json"

# Side by side, since nothing here is timed; each in a folder of its own.
names=("ort-cuda" "ort-cuda cuda_graph=true" "torch-cuda" "torch-cuda cuda_graph=true"
  "tvm-cuda" "tvm-cuda cuda_graph=true" "tensorrt" "ort-tensorrt")
for name in "${names[@]}"; do
  file="$out/contract-${name// /-}"
  mkdir -p "$file.work"
  (timeout 120 python3 tests/contract/drive.py "$name" "$file.work" > "$file.json" 2> "$file.log" ||
    echo "contract: $name did not finish; the last lines of contract-${name// /-}.log say where") &
done
wait

timeout $((seconds + 240)) python3 -m bench run gpu --report --time "$seconds" --results "$out/runs" 2>&1 |
  tee "$out/run.log" | tail -40
rm -rf "$out"/*.work
echo "found: $(cd "$out" && ls | tr '\n' ' ')"
