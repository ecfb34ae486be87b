"""More cases for `speck conform`, from PyTorch's own test samples.

    python tests/samples.py FOLDER [--seed N] [--cases N] [--reference]
    speck conform FOLDER

For each operator of tests/conformance, all samples (or the reference inputs,
which have infinities and NaN among them) of PyTorch's operator tests, drawn with
another seed. Inputs are rounded to f32; outputs and gradients are computed in f64.
Needs torch, numpy, safetensors and expecttest; nothing in the workspace depends on it.
"""

import argparse
import inspect
import json
import pathlib
import random
import struct
import warnings

import numpy
import safetensors.numpy
import torch
from torch.overrides import get_testing_overrides
from torch.testing._internal.common_methods_invocations import op_db

# What PyTorch calls an operator's arguments, where its signature does not say.
NAMES = {
    "einsum": ["input", "arg1"],
    "expand": ["input", "size"],
    "logsumexp": ["input", "dim", "keepdim"],
    "nn.functional.cosine_similarity": ["input", "other", "dim", "eps"],
    "nn.functional.embedding": ["input", "weight"],
    "nn.functional.scaled_dot_product_attention": ["input", "key", "value", "attn_mask"],
    "permute": ["input", "dims"],
    "prod": ["input", "dim", "keepdim"],
    "repeat": ["input", "repeats"],
    "sort": ["input", "dim", "descending"],
    "topk": ["input", "k", "dim", "largest", "sorted"],
    "xlogy": ["input", "other"],
}
LARGEST = 20_000  # elements of an input


def header(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size))


def argument_names(operator):
    if operator.name in NAMES:
        return NAMES[operator.name]
    for function in (operator.op, get_testing_overrides().get(operator.op)):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            continue
        if all(p.kind != p.VAR_POSITIONAL for p in parameters):
            return [p.name for p in parameters]
    return []


class Unfit(Exception):
    """A sample that is not a case: complex numbers, or too large."""


class Case:
    """One sample: its tensors by their names in the file, and its description."""

    def __init__(self, number):
        self.id, self.tensors, self.leaves = f"{number:03}", {}, {}
        self.inputs, self.attributes = [], {}

    def argument(self, name, value):
        if isinstance(value, torch.Tensor):
            if value.is_complex() or value.numel() > LARGEST:
                raise Unfit
            stored = value.detach().clone()
            stored = stored.to(torch.float32) if stored.is_floating_point() else stored
            used = stored.to(torch.float64) if stored.is_floating_point() else value
            if value.requires_grad:
                self.leaves[name] = used.requires_grad_()
            if stored.dtype not in (torch.float32, torch.bool):
                stored = stored.to(torch.int64)
            self.inputs.append(name)
            self.tensors[f"in/{name}"] = stored.numpy()
            return used
        tensors = isinstance(value, (list, tuple)) and len(value) > 0
        if tensors and all(isinstance(part, torch.Tensor) for part in value):
            return type(value)(self.argument(f"{name}.{i}", part) for i, part in enumerate(value))
        json.dumps(value)  # a TypeError for what has no place among the attributes
        self.attributes[name] = value
        return value

    def run(self, operator, sample, seed):
        names = argument_names(operator)
        first = self.argument("input", sample.input)
        rest = []
        for i, value in enumerate(sample.args, 1):
            rest.append(self.argument(names[i] if i < len(names) else f"arg{i}", value))
        named = {name: self.argument(name, value) for name, value in sample.kwargs.items()}
        torch.manual_seed(seed)
        outputs = operator.op(first, *rest, **named)
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
        for i, output in enumerate(outputs):
            value = output.detach()
            if value.dtype != torch.bool:
                value = value.to(torch.float64 if value.is_floating_point() else torch.int64)
            self.tensors[f"out/{i}"] = value.numpy()
        smooth = [(i, y) for i, y in enumerate(outputs) if y.requires_grad]
        gradients = []
        if smooth and self.leaves:
            cotangents = [torch.randn(y.shape, dtype=torch.float32) for _, y in smooth]
            for (i, _), cotangent in zip(smooth, cotangents):
                self.tensors[f"cot/{i}"] = cotangent.numpy()
            found = torch.autograd.grad(
                [y for _, y in smooth],
                list(self.leaves.values()),
                [cotangent.to(torch.float64) for cotangent in cotangents],
                allow_unused=True,
            )
            for name, gradient in zip(self.leaves, found):
                if gradient is not None:
                    self.tensors[f"grad/{name}"] = gradient.numpy()
                    gradients.append(name)
        return {
            "id": self.id,
            "inputs": self.inputs,
            "attrs": self.attributes,
            "outputs": len(outputs),
            "grads": sorted(gradients),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=200, help="most cases of an operator")
    parser.add_argument("--reference", action="store_true", help="reference inputs, not samples")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    operators = {".".join(filter(None, (o.name, o.variant_test_name))): o for o in op_db}
    total = 0
    for path in sorted(pathlib.Path(__file__).with_name("conformance").glob("*.safetensors")):
        metadata = header(path)["__metadata__"]
        operator = operators[metadata["source"].split("'")[1]]
        for draw in (torch.manual_seed, numpy.random.seed, random.seed):
            draw(options.seed)
        draw = operator.reference_inputs if options.reference else operator.sample_inputs
        samples = list(draw("cpu", torch.float64, requires_grad=True))
        if len(samples) > options.cases:
            chosen = random.Random(options.seed).sample(range(len(samples)), options.cases)
            samples = [samples[i] for i in sorted(chosen)]
        cases, tensors = [], {}
        for sample in samples:
            case = Case(len(cases))
            try:
                cases.append(case.run(operator, sample, options.seed))
            except (Unfit, TypeError, RuntimeError, NotImplementedError):
                continue
            for name, value in case.tensors.items():
                tensors[f"{case.id}/{name}"] = numpy.array(value, order="C")
        source = f"PyTorch {torch.__version__.split('+')[0]} op_db '{operator.name}', seed {options.seed}"
        described = {"op": metadata["op"], "source": source, "cases": json.dumps(cases)}
        safetensors.numpy.save_file(tensors, options.folder / path.name, described)
        total += len(cases)
    print(f"{total} cases")


if __name__ == "__main__":
    main()
