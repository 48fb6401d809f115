"""Functions of TensorFlow whose callees are exchanged without tracing anew."""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import itertools
import weakref

import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.core.protobuf import rewriter_config_pb2
from tensorflow.python.eager import context  # function definitions by name have no public interface
from tensorflow.python.eager import execute

# Callees are inlined and what is computed twice is computed once; every other optimization takes longer than it saves
# in the 200 steps of a small proxy task.
_OPTIMIZERS = ('function', 'arithmetic', 'dependency')
_numbers = itertools.count()


class ExchangeableFunction:
  """A traced function in which functions that it calls, directly or not, can be exchanged.

  Args:
    function: the traced function, of one output.
    slots: the names of the functions that will be exchanged.
  """

  def __init__(self, function, slots: Collection[str]):
    self._function = function  # keeps alive whatever it calls
    self._name = function.name.decode()
    definitions = {f.signature.name: f for f in function.graph.as_graph_def().library.function}
    definitions[self._name] = function.function_def
    self._callers = _callers(definitions, slots)
    self.slots = {c.name for f in self._callers for c in _callees(f)} & set(slots)

  def exchange(self, names: Mapping[str, str]) -> 'ExchangedFunction':
    """Returns the function that calls `names[slot]` where this one calls a slot; for as long as those exist."""
    suffix = f'_exchanged_{next(_numbers)}'
    names = {**names, **{f.signature.name: f.signature.name + suffix for f in self._callers}}
    for definition in self._callers:
      renamed = function_pb2.FunctionDef()
      renamed.CopyFrom(definition)
      renamed.signature.name = names[definition.signature.name]
      for callee in _callees(renamed):
        callee.name = names.get(callee.name, callee.name)
      context.context().add_function_def(renamed)
    added = [f.signature.name + suffix for f in self._callers]
    return ExchangedFunction(names[self._name], added, self._function.captured_inputs)


class ExchangedFunction:
  """What `ExchangeableFunction.exchange` returns: called as the traced function is; gone when it is collected."""

  def __init__(self, name: str, added: list[str], captured_inputs: list[tf.Tensor]):
    self._name = name
    self._captured_inputs = captured_inputs
    self._config = _config()
    weakref.finalize(self, _remove, added).atexit = False

  def __call__(self, *args) -> tf.Tensor:
    inputs = [tf.convert_to_tensor(x) for x in tf.nest.flatten(args, expand_composites=True)]
    # By the name as an operation: so TensorFlow forgets what it has compiled when the function is removed.
    return execute.execute(self._name, 1, [*inputs, *self._captured_inputs],
                           ('executor_type', '', 'config_proto', self._config), context.context())[0]


def _config() -> bytes:
  """This process's configuration of TensorFlow, with few optimizations of graphs."""
  config = config_pb2.ConfigProto()
  config.CopyFrom(context.context().config)
  options = config.graph_options.rewrite_options
  options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
  options.optimizers.extend(_OPTIMIZERS)
  return config.SerializeToString()


def _callers(definitions: Mapping[str, function_pb2.FunctionDef], slots: Collection[str]) -> list:
  """The definitions that call a slot, directly or through each other."""
  reaching, callers = set(slots), []
  while True:
    new = [f for name, f in definitions.items()
           if name not in reaching and any(callee.name in reaching for callee in _callees(f))]
    if not new:
      return callers
    callers += new
    reaching |= {f.signature.name for f in new}


def _callees(definition: function_pb2.FunctionDef) -> Iterator:
  """The calls in a definition, as the protocol buffers that name the callee."""
  for node in definition.node_def:
    for value in node.attr.values():
      if value.HasField('func'):
        yield value.func


def _remove(names: list[str]) -> None:
  for name in names:
    context.context().remove_function(name)
