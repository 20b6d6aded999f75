"""Commands that the pages show: what dlas takes of them, and which are not run and why."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import typer

from explorer import cli
from tests import documents

QUICKSTART = "dlas run search_spaces/quickstart.toml"
FIRST_TRIALS = 3  # of the quickstart; more would show nothing more here
# What is not run here, and why.
NOT_RUN = {
    "make quickstart": "installs packages; the command it ends with is run here",
    "make check": "runs this test",
    "make bench": "takes an hour",
    "dlas grid fashion_mnist": "takes two hours; test_fashion_mnist checks what it found",
    'pip install "dlas-explorer[ray]"': "installs packages",
    'pip install "dlas-explorer[postgresql]"': "installs packages",
    f"{QUICKSTART} --workspace elsewhere --seed 1": "trains all anew, as a new workspace does",
    f"{QUICKSTART} --engine ray --address head:6379": "needs a cluster; test_ray has one",
    f"{QUICKSTART} --database postgresql+psycopg://user@host/name": "needs a server; test_postgresql has one",
    "ray start --address=head:6379 --resources='{\"device:rpi4\": 1}'": "needs a cluster; test_ray has one",
    "python -m tvm.exec.rpc_tracker --host 0.0.0.0 --port 9190": "runs for ever; its options are checked here",
    "TVM_NUM_THREADS=4 python -m tvm.exec.rpc_server --tracker 192.168.1.10:9190 --key rpi4 --port 9090 "
    "--port-end 9199": "runs for ever; its options are checked here",
    "python -m tvm.exec.rpc_tracker --host 127.0.0.1 --port 9190 --port-end 9191": "likewise",
    "TVM_NUM_THREADS=4 python -m tvm.exec.rpc_server --host 127.0.0.1 --tracker 127.0.0.1:9190 --key rpi4 --port 9090 "
    "--port-end 9199": "likewise",
    "dlas devices --add rpi4 --tracker 192.168.1.10:9190": "needs a board; test_devices adds this machine",
    "dlas weights resnet18.pt --model resnet18": "needs a checkpoint; test_networks has one",
    "dlas weights resnet18.pt --model resnet18 --width 0.5 --classes 10 --shape 3x32x32 --json": "likewise",
    "dlas profile 0": "compiles and measures for half a minute; test_profiling does",
    "dlas profile 0 --figure flame.html --overlay layers.json": "likewise",
    "dlas profile 0 --json": "likewise",
    "dlas profile 0 --vs base": "likewise",
    "dlas profile 0 --vs 1 --json": "likewise",
    "dlas best --device rpi4+local --latency-ms 0.5": "needs a study on several devices; test_together has one",
    "dlas best --device local --max-drop 0.01": "needs an uncompressed trial; test_bases has one",
    "dlas best --device local --speed-up 2": "needs an uncompressed trial; test_bases has one",
    "dlas best --device local --speed-up 2 --max-drop 0.01 --latency-ms 0.5 --confidence 0.95": "likewise",
    "dlas front --compare": "needs a study on several devices; test_together has one",
    "dlas front --compare --device local --json": "needs a study on several devices; test_together has one",
    "dlas dashboard": "runs for ever; test_page opens it",
    "dlas dashboard --workspace elsewhere --port 8060 --open": "runs for ever; test_page opens it",
    'pip install "dlas-explorer[dashboard]"': "installs packages",
    "optuna-dashboard sqlite:///workspace/study.db": "is another program",
    "python bundle/run.py": "tests/explorer/bundles/test_programs.py runs it",
    "make -C bundle run": "tests/explorer/bundles/test_programs.py runs it",
    "dlas run examples/own_model/own_model.toml": "test_examples runs it",
    "dlas run examples/segmentation/segmentation.toml": "test_examples runs it",
    "dlas run examples/regression/regression.toml": "test_examples runs it",
    "python examples/ray_tune.py --samples 20": "test_examples runs it",
    "python examples/compile_only.py": "test_examples runs it",
}
# What the page on boards shows: it installs on a board, builds for one, or runs there.
ON_BOARDS = (
    "python -m tvm.exec.query_rpc_tracker --host 192.168.1.10 --port 9190",
    "sudo apt install g++ python3-venv",
    "python3 -m venv tvm",
    'tvm/bin/pip install "apache-tvm[rpc]==0.27.0.post1" apache-tvm-ffi==0.1.14.post0',
    "TVM_NUM_THREADS=4 tvm/bin/python -m tvm.exec.rpc_server --tracker 192.168.1.10:9190 --key rpi5 "
    "--port 9090 --port-end 9199",
    "dlas devices --add rpi5 --tracker 192.168.1.10:9190",
    "dlas devices --check rpi5 --file devices.toml",
    'LD_LIBRARY_PATH=/usr/local/cuda/lib64 tvm/bin/python -c "import tvm; print(tvm.cuda().exist)"',
    "LD_LIBRARY_PATH=/usr/local/cuda/lib64 tvm/bin/python -m tvm.exec.rpc_server --tracker "
    "192.168.1.10:9190 --key orin --port 9090 --port-end 9199",
    "sudo apt install clinfo ocl-icd-opencl-dev",
    "clinfo -l",
    "sudo apt install mesa-opencl-icd",
    "RUSTICL_ENABLE=panfrost clinfo -l",
    "cmake -S tvm-source -B build -DUSE_OPENCL=ON -DUSE_LLVM=OFF -DCMAKE_BUILD_TYPE=Release",
    "cmake --build build --target tvm_runtime tvm_runtime_opencl --parallel 4",
    'tvm/bin/python -c "import tvm; print(tvm.opencl().exist)"',
    "RUSTICL_ENABLE=panfrost tvm/bin/python -m tvm.exec.rpc_server --tracker 192.168.1.10:9190 --key "
    "mali --port 9090 --port-end 9199 --no-fork",
    "cmake -S tvm-source -B build-android "
    "-DCMAKE_TOOLCHAIN_FILE=$ANDROID_NDK/build/cmake/android.toolchain.cmake -DANDROID_ABI=arm64-v8a "
    "-DANDROID_PLATFORM=android-28 -DUSE_CPP_RPC=ON -DUSE_OPENCL=ON -DUSE_LLVM=OFF",
    "cmake --build build-android --target tvm_runtime tvm_rpc --parallel 4",
    "adb push build-android/lib /data/local/tmp/tvm",
    "adb reverse tcp:9190 tcp:9190",
    "adb forward tcp:9090 tcp:9090",
    'adb shell "cd /data/local/tmp/tvm && chmod +x tvm_rpc && LD_LIBRARY_PATH=. ./tvm_rpc server '
    "--host=0.0.0.0 --port=9090 --port-end=9091 --tracker=127.0.0.1:9190 --key=phone "
    '--custom-addr=127.0.0.1"',
)
NOT_RUN |= dict.fromkeys(ON_BOARDS, "needs a board; test_devices checks and adds this machine")


def arguments(command: str) -> list[str] | None:
    """Return what a command gives to `dlas`; None if it is another program's."""
    program, *rest = shlex.split(command)
    return rest if Path(program).name == "dlas" else None


COMMANDS: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


def options(command: str) -> set[str]:
    """Return the long options of a command of `dlas`."""
    every = {name for parameter in COMMANDS[command].params for name in parameter.opts}
    return {name for name in every if name.startswith("--")}


DLAS = [given for command in documents.commands() if (given := arguments(command))]
