"""The names under which a head's arrays are stored: those of the published PyTorch module.

A published head is one `Sequential` called `net`: Linear, BatchNorm, ReLU, Dropout a hidden layer, so parameters sit
at 0, 1, 4, 5, 8, 9, ... and the output at 4 * layers. A Linear weight is [outputs, inputs] there and here.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from tunejury_jax.head import Variables
from tunejury_jax.head_config import HeadConfig

__all__ = ["COUNTER", "StateDict", "expected_shapes", "from_state_dict", "infer_config", "to_state_dict"]

COUNTER = ".num_batches_tracked"

StateDict = dict[str, np.ndarray]

_NORM = (("weight", "params", "scale"), ("bias", "params", "bias"))
_STATS = (("running_mean", "batch_stats", "mean"), ("running_var", "batch_stats", "var"))


def _places(layers: int) -> dict[str, tuple[str, str, str]]:
    """torch name -> (collection, module, array) of flax."""
    linears = [*((4 * layer, f"linear_{layer}") for layer in range(layers)), (4 * layers, "output")]
    places = {}
    for index, module in linears:
        places[f"net.{index}.weight"] = ("params", module, "weight")
        places[f"net.{index}.bias"] = ("params", module, "bias")
    for layer in range(layers):
        for torch_name, collection, array in (*_NORM, *_STATS):
            places[f"net.{4 * layer + 1}.{torch_name}"] = (collection, f"norm_{layer}", array)
    return places


def expected_shapes(config: HeadConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of a head with this configuration."""
    inputs = (config.input_dim, *config.widths)
    outputs = (*config.widths, 1)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (_, module, array) in _places(len(config.widths)).items():
        layer = len(config.widths) if module == "output" else int(module.rsplit("_", 1)[1])
        shapes[name] = (outputs[layer], inputs[layer]) if array == "weight" else (outputs[layer],)
    return shapes


def infer_config(state: Mapping[str, np.ndarray]) -> HeadConfig:
    """Reads the shape of a head off its arrays.

    Raises:
        ValueError: There are no Linear weights where those of a head would be.
    """
    weights = {}
    while (name := f"net.{4 * len(weights)}.weight") in state and state[name].ndim == 2:
        weights[name] = state[name].shape
    if len(weights) < 2:
        raise ValueError(f"state dict: expected matrices net.0.weight, net.4.weight, ..., got {sorted(state)[:6]}")
    outputs = [shape[0] for shape in weights.values()]
    return HeadConfig(state["net.0.weight"].shape[1], tuple(outputs[:-1]))


def to_state_dict(variables: Variables) -> StateDict:
    """Copies of the head's arrays under their torch names."""
    layers = len(variables["batch_stats"])
    return {name: np.array(variables[c][m][a]) for name, (c, m, a) in _places(layers).items()}


def from_state_dict(state: Mapping[str, np.ndarray], config: HeadConfig) -> Variables:
    """The flax variables of a head's arrays: copies, of the same type.

    torch's counters `num_batches_tracked` are passed over: with a fixed momentum nothing depends on them.

    Raises:
        ValueError: A name is missing or left over, a shape is wrong, or a value is not finite.
    """
    shapes = expected_shapes(config)
    if missing := sorted(shapes.keys() - state.keys()):
        raise ValueError(f"state dict: {missing[:4]} missing, expected {len(shapes)} arrays for widths {config.widths}")
    if unknown := sorted(name for name in state.keys() - shapes.keys() if not name.endswith(COUNTER)):
        raise ValueError(f"state dict: {unknown[:4]} are not arrays of a head with widths {config.widths}")
    variables: dict[str, dict[str, dict[str, jnp.ndarray]]] = {"params": {}, "batch_stats": {}}
    for name, (collection, module, array) in _places(len(config.widths)).items():
        _check(name, state[name], shapes[name])
        # JAX reads a NumPy array after the call has returned, when it may have been changed: hence a copy of our own.
        variables[collection].setdefault(module, {})[array] = jnp.asarray(np.array(state[name]))
    return variables


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape}")
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{name}: got {array.dtype}, expected a floating type")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: holds values that are not finite")
    if name.endswith("running_var") and (array < 0).any():
        raise ValueError(f"{name}: holds a negative variance")
