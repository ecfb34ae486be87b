"""Holds a run on a GPU against runs on the processor and against itself.

    python tests/devices.py [--speck PATH] [--experiment experiments/device.toml]
                            [--device gpu] [--seeds 8] [--folder FOLDER]

Runs the experiment on the processor, there with so many seeds whatever the file says,
twice on the device, and twice more killed in the middle: once resumed on the device, once
on the processor. Checks that

- all that the device stores, scores and curves, has the same bits both times;
- so has the run that was killed and resumed on the device;
- every score of the device, as a mean over the seeds, lies within the spread of the
  processor's seeds; and so does the run that was resumed on the processor.

Needs nothing but Python. With a software driver (Mesa's llvmpipe) it takes minutes.
"""

import argparse
import collections
import pathlib
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent

# Shares differ by a case or two however little two runs differ.
FLOOR = 0.02


def command(options, device, folder, experiment=None):
    every = ["--checkpoint-every", "0"]
    return [options.speck, "run", experiment or options.experiment, "--device", device, "--quiet", "--jobs", "1", "--runs", folder, *every]


def run(options, device, folder, experiment=None):
    start = time.monotonic()
    done = subprocess.run(command(options, device, folder, experiment), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{device}: {done.stderr}")
    print(f"{folder.name}: {time.monotonic() - start:.0f} s", flush=True)
    return time.monotonic() - start


def killed(options, folder, seconds):
    """Starts a run on the device and kills it; whether it was still at work."""
    process = subprocess.Popen(command(options, options.device, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"{folder.name}: killed after {seconds:.0f} s", flush=True)
        return True
    return False


def seeded(options, folder):
    """The experiment with other seeds, under its own name."""
    text = pathlib.Path(options.experiment).read_text()
    seeds = f"seeds = {list(range(options.seeds))}"
    text, found = re.subn(r"(?m)^seeds *=.*$", seeds, text)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / pathlib.Path(options.experiment).name
    path.write_text(text if found else f"{seeds}\n{text}")
    return str(path)


def stored(folder, name):
    """(model and learner, seed, …) → value, of scores and of curves."""
    database = sqlite3.connect(f"file:{folder / name}.sqlite?mode=ro", uri=True)
    scores = database.execute(
        "select label, seed, 'score', phase, battery, cell, metric, value from scores join runs on runs.id = run"
    )
    rows = {tuple(row[:-1]): row[-1] for row in scores}
    curves = database.execute(
        "select label, seed, 'curve', phase, series, '', step, value from curves join runs on runs.id = run"
    )
    rows |= {tuple(row[:-1]): row[-1] for row in curves}
    return rows


def same(one, other):
    if one.keys() != other.keys():
        return [f"{len(one)} and {len(other)} values"]
    return [f"{key}: {value!r} and {other[key]!r}" for key, value in one.items() if value != other[key]]


def beside(cpu, device):
    """Scores whose means lie further apart than the processor's seeds."""
    groups = collections.defaultdict(lambda: ([], []))
    for place, rows in enumerate((cpu, device)):
        for (model, seed, kind, *what), value in rows.items():
            if kind == "score" and value is not None:
                groups[(model, *what)][place].append(value)
    wrong = []
    worst = 0.0
    for what, (own, found) in groups.items():
        if not own or not found:
            wrong.append(f"{what}: {len(own)} and {len(found)} values")
            continue
        spread = max(own) - min(own) + FLOOR * max(1.0, abs(statistics.mean(own)))
        apart = abs(statistics.mean(own) - statistics.mean(found))
        worst = max(worst, apart / spread)
        if not apart <= spread:
            wrong.append(f"{what}: {own} and {found}")
    print(f"{len(groups)} scores, the furthest apart {worst:.2f} of the spread of the seeds")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--speck", default=str(HERE / "../target/release/speck"))
    parser.add_argument("--experiment", default=str(HERE / "../experiments/device.toml"))
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args()
    name = pathlib.Path(options.experiment).stem
    folder = options.folder or pathlib.Path(tempfile.mkdtemp())
    names = ["cpu", "first", "second", "resumed", "moved"]
    cpu, first, second, resumed, moved = (folder / name for name in names)
    wrong = []

    def check(what, found):
        print(f"{what}: {'the same' if not found else f'{len(found)} differ'}", flush=True)
        wrong.extend(f"{what}: {line}" for line in found)

    run(options, "cpu", cpu, seeded(options, folder / "seeds"))
    took = run(options, options.device, first)
    run(options, options.device, second)
    check("twice on the device", same(stored(first, name), stored(second, name)))
    for target, device in ((resumed, options.device), (moved, "cpu")):
        if not killed(options, target, took / 3):
            wrong.append(f"{target.name}: it ended before it was killed")
        run(options, device, target)
    check("killed and resumed on the device", same(stored(first, name), stored(resumed, name)))
    check("the device and the processor", beside(stored(cpu, name), stored(first, name)))
    check("moved to the processor", beside(stored(cpu, name), stored(moved, name)))
    for line in wrong[:40]:
        print(line, file=sys.stderr)
    if options.folder is None:
        shutil.rmtree(folder)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
