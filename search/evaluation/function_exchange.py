"""Copies of traced TensorFlow functions in which calls to other functions are replaced, made without tracing again.

A traced function (a `ConcreteFunction` of `tf.function`) calls other functions by name, its callees. The copy has the
definition of the original with other names in its calls. `search.evaluation.reused_training` uses such copies to train
each candidate's layer in a network that was traced once.

TensorFlow has no public interface to read and add function definitions by name. This module uses private interfaces, as
they are in TensorFlow 2.20; `can_exchange_functions` checks whether the installed version still has them.
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
except ImportError:  # `can_exchange_functions` returns False then
  context = execute = None

TESTED_VERSION = '2.20'
# The passes of TensorFlow's graph optimizer that are left on: they inline callees and remove repeated computations.
# Every other pass takes longer than it saves in the 200 steps of a small proxy task.
_OPTIMIZERS = ('function', 'arithmetic', 'dependency')
_numbers = itertools.count()


@functools.cache
def can_exchange_functions() -> bool:
  """Returns whether the functions that a traced graph calls can be exchanged in the installed TensorFlow.

  It tries this on a small function, and logs a warning if that fails.
  """
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
  """Replaces x² by −x in a small function, calls the copy and deletes it; raises an error if that does not work."""
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
  """A traced function that can be copied with some of the functions that it calls, the callees, replaced by others.

  Args:
    function: the traced function, with exactly one output.
    slots: the names of the callees that are to be exchanged, which `function` calls directly or through other
      functions; names that it does not call are ignored.

  Attributes:
    slots: the set of those names in the argument `slots` that `function` does call.
  """

  def __init__(self, function: tf.types.experimental.ConcreteFunction, slots: Collection[str]):
    self._function = function  # keeps alive whatever it calls
    self._name = function.name.decode()
    definitions = {f.signature.name: f for f in function.graph.as_graph_def().library.function}
    definitions[self._name] = function.function_def
    self._callers = _callers(definitions, slots)
    self.slots = {c.name for f in self._callers for c in _callees(f)} & set(slots)

  def exchange(self, names: Mapping[str, str]) -> 'ExchangedFunction':
    """Returns a copy of the function with other callees.

    Args:
      names: by slot, the name of the function to call instead, which has the same inputs and outputs. Slots without an
        entry keep their callee. The named functions must exist as long as the copy is used.
    """
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
  """A copy of a traced function with other callees; TensorFlow removes it when this object is garbage-collected.

  Args:
    name: the name of the copy in TensorFlow.
    added: the names of all functions that were added to TensorFlow for the copy, to be removed with it.
    captured_inputs: the tensors that the original function captured, such as the handles of its variables.

  Attributes:
    name: the name of the copy in TensorFlow.
  """

  def __init__(self, name: str, added: list[str], captured_inputs: list[tf.Tensor]):
    self.name = name
    self._captured_inputs = captured_inputs
    self._config = _config()
    weakref.finalize(self, _remove, added).atexit = False

  def __call__(self, *args: tf.Tensor) -> tf.Tensor:
    """Calls the copy with arguments like those of the original function, and returns its one output."""
    inputs = [tf.convert_to_tensor(x) for x in tf.nest.flatten(args, expand_composites=True)]
    # Called as an operation of this name: TensorFlow then frees what it has compiled when the function is removed.
    return execute.execute(self.name, 1, [*inputs, *self._captured_inputs],
                           ('executor_type', '', 'config_proto', self._config), context.context())[0]


def _config() -> bytes:
  """Returns this process's configuration of TensorFlow, serialized, with only a few graph optimizations."""
  config = config_pb2.ConfigProto()
  config.CopyFrom(context.context().config)
  options = config.graph_options.rewrite_options
  options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
  options.optimizers.extend(_OPTIMIZERS)
  return config.SerializeToString()


def _callers(definitions: Mapping[str, function_pb2.FunctionDef], slots: Collection[str]) -> list:
  """Returns the definitions that call a slot, directly or through each other."""
  reaching, callers = set(slots), []
  while True:
    new = [f for name, f in definitions.items()
           if name not in reaching and any(callee.name in reaching for callee in _callees(f))]
    if not new:
      return callers
    callers += new
    reaching |= {f.signature.name for f in new}


def _callees(definition: function_pb2.FunctionDef) -> Iterator:
  """Yields the calls in a definition, as the protocol buffers that hold the callee's name."""
  for node in definition.node_def:
    for value in node.attr.values():
      if value.HasField('func'):
        yield value.func


def _remove(names: list[str]) -> None:
  for name in names:
    context.context().remove_function(name)
