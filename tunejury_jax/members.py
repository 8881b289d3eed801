"""The member axis: variables of several heads of one shape as arrays with one more leading axis.

On disk they have the names of a single head (`state_dict.py`) and the same leading axis, as torch's
`stack_module_state` lays out an ensemble: a member's part of an array is one contiguous slice.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from tunejury_jax.head import Variables
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.state_dict import StateDict, from_state_dict, to_state_dict

__all__ = ["from_stacked_state", "is_stacked", "member_count", "stack", "take", "to_stacked_state"]


def is_stacked(variables: Variables) -> bool:
    """Whether variables have a member axis; those of a single head have none."""
    return _output_bias(variables).ndim == 2


def member_count(variables: Variables) -> int:
    """Number of members; 1 of a single head."""
    return len(_output_bias(variables)) if is_stacked(variables) else 1


def stack(members: Sequence[Variables]) -> Variables:
    """Joins the variables of single heads along a new leading axis."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *members)


def take(variables: Variables, number: int) -> Variables:
    """The variables of one member."""
    return jax.tree.map(lambda array: array[number], variables)


def to_stacked_state(variables: Variables) -> StateDict:
    """The arrays of all members under their torch names and in torch's orientation, with the member axis first."""
    states = [to_state_dict(take(variables, number)) for number in range(member_count(variables))]
    return {name: np.stack([state[name] for state in states]) for name in states[0]}


def from_stacked_state(state: Mapping[str, np.ndarray], config: HeadConfig, members: int) -> Variables:
    """The flax variables of an ensemble's arrays; the arrays keep their type.

    Args:
        state: Arrays under their torch names, with the member axis first.
        config: Shape that the members share.
        members: How many there are.

    Raises:
        ValueError: An array has another number of members, or a member is no head of this shape; says which.
    """
    for name, array in state.items():
        if array.shape[:1] != (members,):
            raise ValueError(f"{name}: got shape {array.shape}, expected {members} members along its first axis")
    return stack([_read_member(state, config, number) for number in range(members)])


def _read_member(state: Mapping[str, np.ndarray], config: HeadConfig, number: int) -> Variables:
    try:
        return from_state_dict({name: array[number] for name, array in state.items()}, config)
    except ValueError as error:
        raise ValueError(f"member {number}: {error}") from error


def _output_bias(variables: Variables) -> jax.Array | np.ndarray:
    return variables["params"]["output"]["bias"]
