"""Traced functions of TensorFlow whose callees are exchanged without tracing anew.

TensorFlow has no public interface to function definitions by name. This module rests on private ones as TensorFlow 2.20
has them; `can_exchange_functions` finds out whether those of another version still do.
"""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import functools
import gc
import itertools
import weakref

from absl import logging
import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.core.protobuf import rewriter_config_pb2

try:
  from tensorflow.python.eager import context
  from tensorflow.python.eager import execute
except ImportError:  # `can_exchange_functions` says so
  context = execute = None

TESTED_VERSION = '2.20'
# Callees are inlined and what is computed twice is computed once; every other optimization takes longer than it saves
# in the 200 steps of a small proxy task.
_OPTIMIZERS = ('function', 'arithmetic', 'dependency')
_numbers = itertools.count()


@functools.cache
def can_exchange_functions() -> bool:
  """Returns whether this TensorFlow can exchange callees, by an exchange of its own; if not, warns once a process."""
  try:
    _check_exchange()
  except Exception as e:  # whatever a change of private interfaces may raise
    logging.warning(
        'TensorFlow %s cannot exchange the callees of a traced function as %s could (%s: %s). Each candidate gets '
        'networks of its own: the results are the same, a screening takes twice as long.',
        tf.__version__, TESTED_VERSION, type(e).__name__, e)
    return False
  return True


def _check_exchange() -> None:
  """Exchanges x² for −x in a function of one variable, calls it, and lets go of it; raises if that does not work."""
  spec, variable = tf.TensorSpec([]), tf.Variable(1.)
  square, negative = (tf.function(f, autograph=False).get_concrete_function(spec) for f in (tf.square, tf.negative))

  @functools.partial(tf.function, autograph=False)
  def add(x):
    return variable.assign_add(tf.raw_ops.PartitionedCall(args=[x], Tout=[tf.float32], f=square)[0])

  slot = square.name.decode()
  exchanged = ExchangeableFunction(add.get_concrete_function(spec), [slot]).exchange({slot: negative.name.decode()})
  found, name = float(exchanged(tf.constant(3.))), exchanged.name
  del exchanged
  gc.collect()
  if found != -2.:
    raise ArithmeticError(f'a function gave {found} instead of -2')
  if context.context().has_function(name):
    raise MemoryError(f'the function {name} cannot be removed')


class ExchangeableFunction:
  """A traced function in which functions that it calls, directly or not, can be exchanged.

  Args:
    function: the traced function, with one output.
    slots: the names of the functions that will be exchanged; those that it does not call are left out.

  Attributes:
    slots: the names of the functions that it calls and that can be exchanged.
  """

  def __init__(self, function: tf.types.experimental.ConcreteFunction, slots: Collection[str]):
    self._function = function  # keeps alive whatever it calls
    self._name = function.name.decode()
    definitions = {f.signature.name: f for f in function.graph.as_graph_def().library.function}
    definitions[self._name] = function.function_def
    self._callers = _callers(definitions, slots)
    self.slots = {c.name for f in self._callers for c in _callees(f)} & set(slots)

  def exchange(self, names: Mapping[str, str]) -> 'ExchangedFunction':
    """Returns the function that calls `names[slot]` where this one calls a slot; valid as long as those exist."""
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
  """A traced function with other callees; TensorFlow forgets it when this object is collected.

  Args:
    name: the function's name.
    added: the names of all functions that were added to TensorFlow for it.
    captured_inputs: the captured inputs of the traced function.

  Attributes:
    name: the function's name.
  """

  def __init__(self, name: str, added: list[str], captured_inputs: list[tf.Tensor]):
    self.name = name
    self._captured_inputs = captured_inputs
    self._config = _config()
    weakref.finalize(self, _remove, added).atexit = False

  def __call__(self, *args: tf.Tensor) -> tf.Tensor:
    """Calls it with the arguments of the traced function."""
    inputs = [tf.convert_to_tensor(x) for x in tf.nest.flatten(args, expand_composites=True)]
    # Called as an operation of that name: then TensorFlow forgets what it has compiled when the function is removed.
    return execute.execute(self.name, 1, [*inputs, *self._captured_inputs],
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
