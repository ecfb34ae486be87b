"""Training steps in JAX (XLA on the CPU, whole step compiled, buffers donated), by the protocol of
protocol.py.

    python jax_steps.py

Threads are XLA's own: all that the process may use (`taskset` limits them).
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax, random
from protocol import serve

SIDE = 64


def dense(key, inputs, outputs):
    return {"w": random.normal(key, (inputs, outputs)) * (2 / inputs) ** 0.5, "b": jnp.zeros(outputs)}


def conv(key, inputs, outputs, side=3, bias=True):
    made = {"w": random.normal(key, (side, side, inputs, outputs)) * (2 / (side * side * inputs)) ** 0.5}
    return made | ({"b": jnp.zeros(outputs)} if bias else {})


def norm(channels):
    return {"w": jnp.ones(channels), "b": jnp.zeros(channels)}


def linear(p, x):
    return x @ p["w"] + p["b"]


def convolve(p, x):
    y = lax.conv_general_dilated(x, p["w"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + p["b"] if "b" in p else y


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def standardize(p, x, axes):
    mean = x.mean(axes, keepdims=True)
    variance = x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p["w"] + p["b"]


def flat(x):
    return x.reshape(x.shape[0], -1)


def mlp_init(key):
    a = random.split(key, 3)
    return [dense(a[0], 3 * SIDE * SIDE, 512), dense(a[1], 512, 256), dense(a[2], 256, 128)]


def mlp(p, x):
    x = flat(x)
    for layer in p[:-1]:
        x = jax.nn.relu(linear(layer, x))
    return linear(p[-1], x)


def cnn_init(key):
    a = random.split(key, 4)
    return [conv(a[0], 3, 32), conv(a[1], 32, 64), conv(a[2], 64, 128), dense(a[3], 8192, 128)]


def cnn(p, x):
    for layer in p[:3]:
        x = pool(jax.nn.relu(convolve(layer, x)))
    return linear(p[3], flat(x))


def flatcnn_init(key):
    a = random.split(key, 5)
    layers = [conv(a[0], 3, 32), conv(a[1], 32, 32), conv(a[2], 32, 32), conv(a[3], 32, 8, 1)]
    return layers + [dense(a[4], 8 * SIDE * SIDE, 128)]


def flatcnn(p, x):
    for layer in p[:3]:
        x = jax.nn.relu(convolve(layer, x))
    return linear(p[4], flat(convolve(p[3], x)))


def resnet_init(key):
    a = random.split(key, 8)
    block = lambda i: [conv(a[i], 32, 32, bias=False), norm(32), conv(a[i + 1], 32, 32, bias=False), norm(32)]
    return {
        "stem": [conv(a[0], 3, 32, bias=False), norm(32)],
        "blocks": [block(1), block(3), block(5)],
        "head": dense(a[7], 2048, 128),
    }


def resnet(p, x):
    # Batch norm in training; running statistics are not kept here, which costs JAX nothing.
    over = (0, 1, 2)
    x = jax.nn.relu(standardize(p["stem"][1], convolve(p["stem"][0], x), over))
    for first, first_norm, second, second_norm in p["blocks"]:
        y = jax.nn.relu(standardize(first_norm, convolve(first, x), over))
        x = pool(jax.nn.relu(x + standardize(second_norm, convolve(second, y), over)))
    return linear(p["head"], flat(x))


def vit_init(key, width=128, depth=4, patch=8):
    a = iter(random.split(key, 4 * depth + 3))
    block = lambda: {
        "norms": [norm(width), norm(width)],
        "qkv": dense(next(a), width, 3 * width),
        "out": dense(next(a), width, width),
        "up": dense(next(a), width, 4 * width),
        "down": dense(next(a), 4 * width, width),
    }
    return {
        "embed": dense(next(a), 3 * patch * patch, width),
        "position": random.normal(next(a), (1, (SIDE // patch) ** 2, width)) * 0.02,
        "blocks": [block() for _ in range(depth)],
        "norm": norm(width),
        "head": dense(next(a), width, 2 * SIDE),
    }


def vit(p, x, heads=4, patch=8):
    batch, n = x.shape[0], SIDE // patch
    x = x.reshape(batch, n, patch, n, patch, 3).transpose(0, 1, 3, 5, 2, 4).reshape(batch, n * n, -1)
    x = linear(p["embed"], x) + p["position"]
    for block in p["blocks"]:
        y = linear(block["qkv"], standardize(block["norms"][0], x, -1))
        q, k, v = jnp.split(y.reshape(batch, n * n, 3 * heads, -1), 3, axis=2)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
        y = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v).reshape(x.shape)
        x = x + linear(block["out"], y)
        y = jax.nn.gelu(linear(block["up"], standardize(block["norms"][1], x, -1)), approximate=False)
        x = x + linear(block["down"], y)
    return linear(p["head"], standardize(p["norm"], x, -1).mean(1))


WORKS = {
    "mlp": (mlp_init, mlp, 256),
    "mlp32": (mlp_init, mlp, 32),
    "cnn": (cnn_init, cnn, 64),
    "cnn256": (cnn_init, cnn, 256),
    "flatcnn": (flatcnn_init, flatcnn, 64),
    "resnet": (resnet_init, resnet, 64),
    "vit": (vit_init, vit, 64),
}


def prepare(work):
    init, model, batch = WORKS[work]
    key = random.PRNGKey(0)
    rows = random.randint(key, (batch,), 0, SIDE)
    columns = random.randint(random.PRNGKey(1), (batch,), 0, SIDE)
    screens = jnp.zeros((batch, SIDE, SIDE, 3)).at[jnp.arange(batch), rows, columns].set(1.0)
    adam = optax.adam(1e-3)
    parameters = init(key)
    state = [parameters, adam.init(parameters)]
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels

    def loss(parameters):
        output = model(parameters, screens)
        return (cross_entropy(output[:, :SIDE], rows) + cross_entropy(output[:, SIDE:], columns)).mean()

    def update(parameters, moments):
        value, gradient = jax.value_and_grad(loss)(parameters)
        change, moments = adam.update(gradient, moments)
        return optax.apply_updates(parameters, change), moments, value

    update = jax.jit(update, donate_argnums=(0, 1))

    def step():
        state[0], state[1], value = update(*state)
        jax.block_until_ready((state[0], value))

    for _ in range(3):
        step()
    return step


if __name__ == "__main__":
    serve(WORKS, prepare)
