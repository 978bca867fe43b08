"""Compile a function on the backend in use, with the weights it reads as arguments.

A plain ``jax.jit`` over a method keeps the weights of its first call for ever, because it sees them
as constants. `CompiledFunction` passes them in, so a function that was compiled once follows the
model through training.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

__all__ = [
    "CompiledFunction",
    "has_accelerator",
    "in_xla_of_tensorflow",
    "is_concrete",
    "resolve_jit_compile",
]


class CompiledFunction:
    """A function of tensors, compiled on the backend in use.

    It is compiled once for each combination of argument shapes and dtypes; later calls pay no
    tracing. Where `variables` become others (a layer gets low-rank factors, or is replaced), it is
    compiled anew. Arguments and results may be nested structures of tensors.

    Args:
        function: a function of tensors that may read, but not write, `variables`.
        variables: a function that lists the Keras variables that `function` reads. It is asked at
            each call, so that variables made later are seen.
        jit_compile: whether TensorFlow compiles with XLA. JAX always does.

    Example:
    >>> import keras
    >>> weight = keras.Variable(2.0)
    >>> double = CompiledFunction(lambda x: x * weight, variables=lambda: [weight])
    >>> float(double(keras.ops.convert_to_tensor(3.0)))
    6.0
    >>> new = weight.assign(5.0)
    >>> float(double(keras.ops.convert_to_tensor(3.0)))
    15.0
    """

    def __init__(
        self,
        function: Callable[..., Any],
        variables: Callable[[], Sequence[Any]],
        jit_compile: bool = True,
    ) -> None:
        self._variables = variables
        self._backend = keras.backend.backend()
        self._compiled: Callable[..., Any]
        if self._backend == "tensorflow":
            import tensorflow as tf

            def trace_anew() -> Any:
                return tf.function(function, jit_compile=jit_compile, autograph=False)

            self._trace_anew = trace_anew
            self._compiled = trace_anew()
            self._compiled_with: list[Any] | None = None
        elif self._backend == "jax":
            import jax

            def with_values(values: Sequence[Any], *args: Any) -> Any:
                mapping = list(zip(self._variables(), values, strict=True))
                with keras.StatelessScope(state_mapping=mapping):
                    return function(*args)

            self._compiled = jax.jit(with_values)
        else:
            self._compiled = function

    def __call__(self, *args: Any) -> Any:
        if self._backend == "jax":
            return self._compiled([v.value for v in self._variables()], *args)
        if self._backend == "tensorflow":
            variables = list(self._variables())
            before = variables if self._compiled_with is None else self._compiled_with
            if [*map(id, variables)] != [*map(id, before)]:
                # What is traced goes on reading the variables that it met then.
                self._compiled = self._trace_anew()
            self._compiled_with = variables
        return self._compiled(*args)


def has_accelerator() -> bool:
    """Whether the backend in use computes on anything but a CPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return any(d.device_type != "CPU" for d in tf.config.list_physical_devices())
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import torch

    return bool(torch.cuda.is_available())


def in_xla_of_tensorflow() -> bool:
    """Whether TensorFlow is tracing what XLA will compile."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    # What TensorFlow offers to libraries of layers, as `tensorflow.python` is none's to import.
    return tf.__internal__.get_enclosing_xla_context() is not None


def resolve_jit_compile(jit_compile: bool | str) -> bool | str:
    """Turns the package's `"auto"` into what `keras.Model.compile` should get.

    XLA on an accelerator, no XLA for training on a CPU with TensorFlow (convolutions are slower
    with it there), always XLA on JAX.

    Args:
        jit_compile: `True`, `False` or `"auto"`.

    Returns:
        `True`, `False`, or `"auto"` where Keras's own choice is the right one.

    Raises:
        ValueError: for anything else.
    """
    if jit_compile not in (True, False, "auto"):
        raise ValueError(
            "`jit_compile` should be `True`, `False` or 'auto'. "
            f"Received: jit_compile={jit_compile!r}"
        )
    if jit_compile == "auto" and keras.backend.backend() == "tensorflow" and not has_accelerator():
        return False
    return jit_compile


def is_concrete(x: Any) -> bool:
    """Whether the values of `x` can be looked at now (it is no symbol and not being traced)."""
    if isinstance(x, keras.KerasTensor):
        return False
    if not keras.ops.is_tensor(x):
        return True
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return hasattr(x, "numpy")
    if backend == "jax":
        import jax

        return not isinstance(x, jax.core.Tracer)
    return True
