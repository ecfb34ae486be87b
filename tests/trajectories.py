"""More trajectories for `speck conform`: optimizers and schedules with other settings.

    python tests/trajectories.py FOLDER [--seed N] [--cases N] [--steps N]
    speck conform FOLDER

Hyper-parameters are drawn at random for each optimizer and schedule; parameters,
recorded gradients and sequences of rates have the form of tests/conformance/optim
and tests/conformance/schedules.json. Everything is computed in f64; gradients are
rounded to f32 first. Needs torch, pytorch_optimizer, numpy and safetensors;
nothing in the workspace depends on it.
"""

import argparse
import importlib.metadata
import json
import pathlib
import random
import warnings

import numpy
import pytorch_optimizer
import safetensors.numpy
import torch

SHAPES = [(4, 3), (3,), (2, 2, 3, 3)]


def betas(rng):
    return [rng.choice([0.0, 0.5, 0.8, 0.9, 0.95]), rng.choice([0.8, 0.95, 0.99, 0.999])]


def rate(rng):
    return round(10 ** rng.uniform(-3, -1), 5)


def decay(rng):
    return rng.choice([0.0, 0.0, 0.001, 0.01, 0.1])


def truth(rng):
    return rng.random() < 0.5


def sgd(rng):
    momentum = rng.choice([0.0, 0.5, 0.9, 0.95])
    nesterov = momentum > 0 and truth(rng)
    dampening = 0.0 if nesterov else rng.choice([0.0, 0.1, 0.5])
    return dict(lr=rate(rng), momentum=momentum, dampening=dampening, weight_decay=decay(rng), nesterov=nesterov)


def adam(rng):
    eps = rng.choice([1e-8, 1e-6, 1e-3])
    return dict(lr=rate(rng), betas=betas(rng), eps=eps, weight_decay=decay(rng), amsgrad=truth(rng))


def variant(rng):
    eps = rng.choice([1e-8, 1e-6, 1e-3])
    flag = truth(rng)
    return dict(lr=rate(rng), betas=betas(rng), eps=eps, weight_decay=decay(rng), decoupled_weight_decay=flag)


def lamb(rng):
    return dict(
        lr=rate(rng), betas=betas(rng), weight_decay=decay(rng), weight_decouple=truth(rng),
        fixed_decay=rng.random() < 0.2, rectify=rng.random() < 0.3, degenerated_to_sgd=truth(rng),
        grad_averaging=truth(rng), pre_norm=truth(rng), max_grad_norm=rng.choice([0.0, 0.5, 1.0]),
        adam=rng.random() < 0.2, eps=rng.choice([1e-6, 1e-4]),
    )


def maximized(draw):
    def drawn(rng):
        hyper = draw(rng)
        if rng.random() < 0.2:
            hyper["maximize"] = True
        return hyper

    return drawn


# Name: class, and how its settings are drawn.
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, maximized(sgd)),
    "adam": (torch.optim.Adam, maximized(adam)),
    "adamw": (torch.optim.AdamW, maximized(adam)),
    "nadam": (torch.optim.NAdam, maximized(lambda r: variant(r) | dict(momentum_decay=r.choice([0.0, 4e-3, 0.1])))),
    "radam": (torch.optim.RAdam, maximized(variant)),
    "adamax": (torch.optim.Adamax, lambda r: dict(lr=rate(r), betas=betas(r), weight_decay=decay(r), eps=r.choice([1e-8, 1e-3]))),
    "rmsprop": (
        torch.optim.RMSprop,
        maximized(lambda r: dict(
            lr=rate(r), alpha=r.choice([0.5, 0.9, 0.99]), eps=r.choice([1e-8, 1e-4]), weight_decay=decay(r),
            momentum=r.choice([0.0, 0.5, 0.9]), centered=truth(r),
        )),
    ),
    "adagrad": (
        torch.optim.Adagrad,
        lambda r: dict(
            lr=rate(r), lr_decay=r.choice([0.0, 0.01, 0.5]), weight_decay=decay(r),
            initial_accumulator_value=r.choice([0.0, 0.1, 1.0]), eps=r.choice([1e-10, 1e-4]),
        ),
    ),
    "adadelta": (
        torch.optim.Adadelta,
        lambda r: dict(lr=r.choice([0.1, 1.0, 2.0]), rho=r.choice([0.5, 0.9, 0.95]), eps=r.choice([1e-6, 1e-3]), weight_decay=decay(r)),
    ),
    "adafactor": (
        torch.optim.Adafactor,
        lambda r: dict(
            lr=rate(r), beta2_decay=r.choice([-0.5, -0.8, -1.0]), eps=[r.choice([None, 1e-4]), r.choice([1e-3, 1e-1])],
            d=r.choice([1.0, 1.5, 3.0]), weight_decay=decay(r),
        ),
    ),
    "rprop": (
        torch.optim.Rprop,
        lambda r: dict(lr=rate(r), etas=[r.choice([0.3, 0.5, 0.9]), r.choice([1.1, 1.2, 2.0])], step_sizes=[r.choice([1e-6, 1e-3]), r.choice([0.05, 50])]),
    ),
    "asgd": (
        torch.optim.ASGD,
        lambda r: dict(lr=rate(r), lambd=r.choice([0.0, 1e-4, 0.1]), alpha=r.choice([0.5, 0.75, 1.0]), t0=r.choice([5, 1e6]), weight_decay=decay(r)),
    ),
    "lion": (
        pytorch_optimizer.Lion,
        lambda r: dict(lr=rate(r), betas=betas(r), weight_decay=decay(r), weight_decouple=truth(r), fixed_decay=r.random() < 0.2),
    ),
    "lamb": (pytorch_optimizer.Lamb, lamb),
    "lars": (
        pytorch_optimizer.LARS,
        lambda r: dict(
            lr=rate(r), weight_decay=decay(r), momentum=r.choice([0.0, 0.9]), dampening=r.choice([0.0, 0.3]),
            trust_coefficient=r.choice([1e-3, 0.1]), nesterov=truth(r),
        ),
    ),
    "shampoo": (
        pytorch_optimizer.Shampoo,
        lambda r: dict(
            lr=rate(r), momentum=r.choice([0.0, 0.5, 0.9]), weight_decay=decay(r), weight_decouple=truth(r),
            preconditioning_compute_steps=r.choice([1, 1, 3]), matrix_eps=r.choice([1e-6, 1e-3]),
        ),
    ),
}


def trajectory(build, hyper, steps, generator):
    start = [torch.randn(shape, generator=generator).to(torch.float64) for shape in SHAPES]
    parameters = [torch.nn.Parameter(value.clone()) for value in start]
    optimizer = build(parameters, **{k: tuple(v) if isinstance(v, list) else v for k, v in hyper.items()})
    tensors = {}
    gradients, found = [[] for _ in SHAPES], [[] for _ in SHAPES]
    for _ in range(steps):
        for i, parameter in enumerate(parameters):
            gradient = torch.randn(SHAPES[i], generator=generator)
            parameter.grad = gradient.to(torch.float64)
            gradients[i].append(gradient.numpy())
        optimizer.step()
        for i, parameter in enumerate(parameters):
            found[i].append(parameter.detach().numpy().astype(numpy.float32))
    for i in range(len(SHAPES)):
        tensors[f"p{i}/init"] = start[i].numpy().astype(numpy.float32)
        tensors[f"p{i}/grads"] = numpy.stack(gradients[i])
        tensors[f"p{i}/params"] = numpy.stack(found[i])
    return tensors


def rosenbrock(hyper, steps, generator):
    start = torch.randn(6, generator=generator).to(torch.float64)
    x = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.LBFGS([x], **hyper)

    def closure():
        optimizer.zero_grad()
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        return loss

    losses, found = [], []
    for _ in range(steps):
        losses.append(numpy.float32(optimizer.step(closure).item()))
        found.append(x.detach().numpy().astype(numpy.float32))
    return {"x/init": start.numpy().astype(numpy.float32), "x/params": numpy.stack(found), "loss": numpy.array(losses)}


def lbfgs(rng):
    return dict(
        lr=rng.choice([1.0, 0.5]), max_iter=rng.choice([3, 5, 20]), history_size=rng.choice([2, 5, 10]),
        line_search_fn="strong_wolfe",
    )


def schedules(rng, steps):
    scheduler = torch.optim.lr_scheduler
    gamma = rng.choice([0.1, 0.5, 0.9])
    low = rng.choice([0.0, 1e-4, 1e-3])
    first, mult = rng.randrange(3, 12), rng.randrange(1, 4)
    total, pct = rng.randrange(steps, 2 * steps), rng.choice([0.1, 0.3, 0.5])
    strategy, three = rng.choice(["cos", "linear"]), truth(rng)
    divisions = rng.choice([10.0, 25.0]), rng.choice([100.0, 1e4])
    up, down = rng.randrange(2, 12), rng.choice([None, 3, 9])
    mode = rng.choice(["triangular", "triangular2", "exp_range"])
    length, power = rng.randrange(5, steps), rng.choice([0.5, 0.9, 2.0])
    peak = round(rng.uniform(0.2, 1.0), 3)
    factors = rng.choice([0.1, 0.5]), rng.choice([0.2, 1.0])
    stones = sorted(rng.sample(range(1, steps), 3))
    warm, begin = rng.randrange(2, 15), rng.choice([0.01, 0.1, 0.5])
    plateau = dict(
        factor=gamma, patience=rng.randrange(0, 6), threshold=rng.choice([1e-4, 0.05]),
        threshold_mode=rng.choice(["rel", "abs"]), cooldown=rng.randrange(0, 4), min_lr=low, mode=rng.choice(["min", "max"]),
    )

    def warmed(optimizer):
        parts = [
            scheduler.LinearLR(optimizer, start_factor=begin, total_iters=warm),
            scheduler.CosineAnnealingLR(optimizer, T_max=length, eta_min=low),
        ]
        return scheduler.SequentialLR(optimizer, parts, milestones=[warm])

    return [
        ("constant", {}, lambda o: scheduler.ConstantLR(o, factor=1.0)),
        ("step", dict(step_size=first, gamma=gamma), lambda o: scheduler.StepLR(o, first, gamma)),
        ("multistep", dict(milestones=stones, gamma=gamma), lambda o: scheduler.MultiStepLR(o, stones, gamma)),
        ("exponential", dict(gamma=gamma), lambda o: scheduler.ExponentialLR(o, gamma)),
        (
            "linear", dict(start_factor=factors[0], end_factor=factors[1], total_iters=length),
            lambda o: scheduler.LinearLR(o, factors[0], factors[1], length),
        ),
        ("polynomial", dict(total_iters=length, power=power), lambda o: scheduler.PolynomialLR(o, length, power)),
        ("cosine", dict(t_max=length, eta_min=low), lambda o: scheduler.CosineAnnealingLR(o, length, low)),
        (
            "cosine_warm_restarts", dict(t_0=first, t_mult=mult, eta_min=low),
            lambda o: scheduler.CosineAnnealingWarmRestarts(o, first, mult, low),
        ),
        (
            "one_cycle",
            dict(
                max_lr=peak, total_steps=total, pct_start=pct, anneal=strategy,
                div_factor=divisions[0], final_div_factor=divisions[1], three_phase=three,
            ),
            lambda o: scheduler.OneCycleLR(
                o, peak, total_steps=total, pct_start=pct, anneal_strategy=strategy, cycle_momentum=False,
                div_factor=divisions[0], final_div_factor=divisions[1], three_phase=three,
            ),
        ),
        (
            "cyclic", dict(max_lr=peak, step_size_up=up, step_size_down=down, mode=mode, gamma=gamma),
            lambda o: scheduler.CyclicLR(o, o.defaults["lr"], peak, up, down, mode, gamma, cycle_momentum=False),
        ),
        ("linear_warmup_cosine", dict(warmup_steps=warm, start_factor=begin, t_max=length, eta_min=low), warmed),
        ("reduce_on_plateau", plateau, lambda o: scheduler.ReduceLROnPlateau(o, **plateau)),
    ]


def sequence(name, hyper, build, base, steps, rng):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    schedule = build(optimizer)
    rates, metrics = [], [round(rng.uniform(0.5, 1.0) / (1 + i // 8), 4) for i in range(steps)]
    for metric in metrics:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if name == "reduce_on_plateau":
            schedule.step(metric)
        else:
            schedule.step()
    metric = metrics if name == "reduce_on_plateau" else None
    return dict(schedule=name, base_lr=base, hyper=hyper, metric=metric, lr=rates)


def save(folder, name, number, hyper, steps, tensors, more=None):
    version = importlib.metadata.version("pytorch_optimizer")
    source = f"PyTorch {torch.__version__}, pytorch_optimizer {version}"
    metadata = dict(optimizer=name, steps=str(steps), hyper=json.dumps(hyper), source=source, **(more or {}))
    tensors = {key: numpy.ascontiguousarray(value) for key, value in tensors.items()}
    safetensors.numpy.save_file(tensors, folder / f"{name}-{number}.safetensors", metadata)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--steps", type=int, default=25)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    folder, steps = arguments.folder / "optim", arguments.steps
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    sequences = []
    for number in range(arguments.cases):
        for name, (build, draw) in OPTIMIZERS.items():
            hyper = draw(rng)
            save(folder, name, number, hyper, steps, trajectory(build, hyper, steps, generator))
        hyper = lbfgs(rng)
        objective = dict(objective="rosenbrock: sum 100*(x[i+1]-x[i]^2)^2+(1-x[i])^2")
        save(folder, "lbfgs", number, hyper, 15, rosenbrock(hyper, 15, generator), objective)
        base = round(rng.uniform(0.01, 0.1), 4)
        for name, hyper, build in schedules(rng, 60):
            sequences.append(sequence(name, hyper, build, base, 60, rng))
    (arguments.folder / "schedules.json").write_text(json.dumps(sequences))


if __name__ == "__main__":
    main()
