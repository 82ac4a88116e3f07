"""The types of segpipe, checked while the tests run, and axes where there are any.

The hook of jaxtyping binds the arguments of each call, holds a memory of axes for it
and checks them twice, so that an array that is returned may share axes with those that
were given: a third of the time of many tests. A function without arrays has no axes;
of it beartype alone says the same.
"""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, ForwardRef, Literal, get_args, get_origin

import jaxtyping
import pytest


def check_axes_where_there_are_some() -> None:
    """Let beartype alone check each function without axes that is imported later."""
    whole = jaxtyping.jaxtyped

    def jaxtyped(fn: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
        if fn is None:
            return lambda fn: jaxtyped(fn, typechecker=typechecker)
        if isinstance(fn, FunctionType) and not needs_axes(fn):
            return typechecker(fn)
        return whole(fn, typechecker=typechecker)

    pytest.MonkeyPatch().setattr(jaxtyping, "jaxtyped", jaxtyped)


def needs_axes(function: FunctionType) -> bool:
    """Whether a signature or a body has types with axes, or may have some.

    Of a generator beartype would also check what it yields.
    """
    used = map(function.__globals__.get, function.__code__.co_names)
    return (
        inspect.isgeneratorfunction(function)
        or any(map(has_axes, function.__annotations__.values()))
        or any(has_axes(one) for one in used if not isinstance(one, str))
    )


def has_axes(kind: object) -> bool:
    """Whether a type is one of jaxtyping, or has one in it, or a name not looked up."""
    if inspect.isclass(kind):
        return issubclass(kind, jaxtyping.AbstractArray | jaxtyping.AbstractDtype)
    within = () if get_origin(kind) is Literal else get_args(kind)
    return isinstance(kind, str | ForwardRef) or any(map(has_axes, within))
