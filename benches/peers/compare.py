"""Times training steps of speck and of other systems in turn, in one run, and prints ratios.

    python compare.py [--speck PATH] [--work mlp,cnn] [--mode dense,structured]
                      [--background black,random-sample]
                      [--peers torch,torch-channels-last,torch-compile,jax,candle,burn]
                      [--rounds 5] [--seconds 2] [--threads 2] [--json FILE] [--device gpu]

Every peer is a process of its own that stays, prepares a work when it is first asked for it, and
waits while others are timed. A round times each peer and speck once on a work, one after another,
so that a machine that slows down slows all of them. A figure is the median over the rounds of the
rounds' medians; ratios are those of the fastest peer to speck in each of its modes, for which
the peers, whose work does not depend on the background, are timed once.

With --device gpu (or gpu:N) speck runs on that GPU and PyTorch, the only peer then, on the first
CUDA device, in f32 without TF32. Two kinds of ratios must be reached there: at least 1 in dense and
at least 3 in structured mode against PyTorch eager, for cnn256, resnet and vit; where one is not, it
is told and the exit status is 1. Without a CUDA device PyTorch is left out (--peers none: not even
tried) and nothing is held against anything, so that the script can be tried on a software driver.

Python peers run in this interpreter (see requirements.txt); candle and burn are built on first use.
A peer that cannot be started is told of and left out.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
WORKS = ["mlp", "mlp32", "cnn", "cnn256", "flatcnn", "resnet", "vit"]
CONVOLUTIONAL = {"cnn", "cnn256", "flatcnn", "resnet"}


def rust(name):
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=HERE / name, check=True)
    return [str(HERE / name / "target" / "release" / f"{name}-steps")]


def python(script, *options):
    return [sys.executable, str(HERE / script), *options]


# What must be reached on a GPU against PyTorch eager, by mode.
WANTED = {"dense": 1.0, "structured": 3.0}
WANTED_OF = ["cnn256", "resnet", "vit"]

PEERS = {
    "torch": lambda threads: python("torch_steps.py", "--threads", threads),
    "torch-channels-last": lambda threads: python("torch_steps.py", "--threads", threads, "--channels-last"),
    "torch-compile": lambda threads: python("torch_steps.py", "--threads", threads, "--compile"),
    "jax": lambda threads: python("jax_steps.py"),
    "candle": lambda threads: rust("candle"),
    "burn": lambda threads: rust("burn"),
}


class Peer:
    """A process that times steps when asked."""

    def __init__(self, name, threads, device):
        self.name = name
        environment = os.environ | {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
        command = PEERS[name](threads)
        if device != "cpu":
            command += ["--device", "cuda"]
        if name == "jax" and hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))[: int(threads)]
            command = ["taskset", "-c", ",".join(map(str, cores)), *command]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)

    def time(self, work, seconds):
        """The median step in milliseconds; None where the peer has no such work."""
        try:
            self.process.stdin.write(f"{work} {seconds}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"{self.name} ended (is what it needs installed?)")
        times = json.loads(line)["ms"]
        return statistics.median(times) if times else None

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def speck(options, work, mode, background):
    command = [options.speck, "bench", "steps", "--json", "--work", work, "--mode", mode]
    command += ["--background", background, "--device", options.device]
    command += ["--threads", str(options.threads), "--seconds", str(options.seconds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    for line in done.stdout.splitlines():
        found = json.loads(line)
        if found.get("work") == work:
            return found["ms_median"]
    sys.exit(f"speck timed no work `{work}`")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--speck", default=str(HERE / "../../target/release/speck"))
    parser.add_argument("--work", default=",".join(WORKS))
    parser.add_argument("--mode", default="dense,structured")
    parser.add_argument("--background", default="black")
    parser.add_argument("--peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--device", default="cpu", help="cpu, gpu or gpu:N")
    options = parser.parse_args()
    on_gpu = options.device != "cpu"
    if options.peers is None:
        options.peers = "torch,torch-channels-last,torch-compile" + ("" if on_gpu else ",jax")
    options.peers = [name for name in options.peers.split(",") if name != "none"]
    for name in options.peers:
        if name not in PEERS:
            parser.error(f"no peer `{name}`; there are {', '.join(PEERS)}")
        if on_gpu and not name.startswith("torch"):
            parser.error(f"`{name}` is no peer on a GPU; PyTorch is")
    for work in options.work.split(","):
        if work not in WORKS:
            parser.error(f"no work `{work}`; there are {', '.join(WORKS)}")
    return options


def main():
    options = arguments()
    peers = {}
    for name in options.peers:
        try:
            peers[name] = Peer(name, str(options.threads), options.device)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    modes, backgrounds = options.mode.split(","), options.background.split(",")
    own = {}
    for mode in modes:
        for background in backgrounds:
            own[f"speck {mode}" + (f", {background}" if len(backgrounds) > 1 else "")] = (mode, background)
    names = [*own, *peers]
    print("| work | " + " | ".join(f"{name}, ms" for name in names) + " | ratios |")
    print("|---|" + "---:|" * (len(names) + 1))
    results, short = [], []
    for work in options.work.split(","):
        times = {name: [] for name in names}
        for round_number in range(options.rounds + 1):
            for name in list(peers):
                if name == "torch-channels-last" and work not in CONVOLUTIONAL:
                    continue
                # The first round prepares: compiling is not part of a step.
                try:
                    middle = peers[name].time(work, options.seconds if round_number else 0)
                except RuntimeError as error:
                    print(f"{name} is left out: {error}", file=sys.stderr)
                    del peers[name]
                    continue
                if middle is not None and round_number:
                    times[name].append(middle)
            if round_number:
                for name, (mode, background) in own.items():
                    times[name].append(speck(options, work, mode, background))
        middles = {name: statistics.median(found) for name, found in times.items() if found}
        best = min((middles[name] for name in middles if name not in own), default=float("nan"))
        ratios = {name: best / middles[name] for name in own}
        cells = [f"{middles[name]:.2f}" if name in middles else "" for name in names]
        told = ", ".join(f"{ratio:.1f}" for ratio in ratios.values() if ratio == ratio)
        print(f"| {work} | " + " | ".join(cells) + f" | {told} |", flush=True)
        results.append({"work": work, "ms": middles, "ratios": ratios})
        if options.device != "cpu" and work in WANTED_OF and "torch" in middles:
            for name, (mode, _) in own.items():
                ratio = middles["torch"] / middles[name]
                if ratio < WANTED.get(mode, 0.0):
                    short.append(f"{work}, {name}: {ratio:.2f} of {WANTED[mode]:.0f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    for peer in peers.values():
        peer.close()
    if short:
        sys.exit("short of PyTorch eager on this GPU: " + "; ".join(short))


if __name__ == "__main__":
    main()
