"""Training steps in PyTorch, by the protocol of protocol.py.

    python torch_steps.py [--threads N] [--compile] [--channels-last] [--device cuda]

A step is: clear gradients, forward, loss, backward, Adam. The screens lie in memory already,
that of the GPU where there is one; a step on it has ended when the GPU is done with it.
"""

import argparse

import torch
import torch.nn.functional as F
from protocol import serve
from torch import nn

SIDE = 64


class Transformer(nn.Module):
    """Patches of 8 × 8, four pre-norm blocks, mean of the tokens."""

    def __init__(self, width=128, depth=4, heads=4, patch=8):
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(3 * patch * patch, width)
        self.position = nn.Parameter(torch.randn(1, (SIDE // patch) ** 2, width) * 0.02)
        block = lambda: nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * SIDE)

    def forward(self, x):
        batch, p, n = x.shape[0], self.patch, SIDE // self.patch
        x = x.reshape(batch, 3, n, p, n, p).permute(0, 2, 4, 1, 3, 5).reshape(batch, n * n, 3 * p * p)
        x = self.embed(x) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        conv = lambda: nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first, self.first_norm = conv(), nn.BatchNorm2d(channels)
        self.second, self.second_norm = conv(), nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


def conv(inputs, outputs, side=3, bias=True):
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=bias)


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 128)
    )


def cnn():
    layers, inputs = [], 3
    for outputs in (32, 64, 128):
        layers += [conv(inputs, outputs), nn.ReLU(), nn.MaxPool2d(2)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8192, 128))


def flatcnn():
    layers, inputs = [], 3
    for outputs in (32, 32, 32):
        layers += [conv(inputs, outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, conv(32, 8, 1), nn.Flatten(), nn.Linear(8 * SIDE * SIDE, 128))


def resnet():
    layers = [conv(3, 32, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    for _ in range(3):
        layers += [Residual(32), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 128))


WORKS = {
    "mlp": (mlp, 256),
    "mlp32": (mlp, 32),
    "cnn": (cnn, 64),
    "cnn256": (cnn, 256),
    "flatcnn": (flatcnn, 64),
    "resnet": (resnet, 64),
    "vit": (Transformer, 64),
}


def prepare(work, options):
    make, batch = WORKS[work]
    torch.manual_seed(0)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    model = make().to(device=options.device, memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rows, columns = torch.randint(0, SIDE, (2, batch)).to(options.device)
    screens = torch.zeros(batch, 3, SIDE, SIDE, device=options.device)
    screens[torch.arange(batch, device=options.device), :, rows, columns] = 1.0
    screens = screens.contiguous(memory_format=layout)
    run = torch.compile(model) if options.compile else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        output = run(screens)
        loss = F.cross_entropy(output[:, :SIDE], rows) + F.cross_entropy(output[:, SIDE:], columns)
        loss.backward()
        optimizer.step()
        if options.device != "cpu":
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.device != "cpu":
        # Products in f32 as speck's are, not in fewer bits.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(options.threads)
    serve(WORKS, lambda work: prepare(work, options))


if __name__ == "__main__":
    main()
