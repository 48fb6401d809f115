"""Training of many candidates in one network, which a process builds and traces only once.

Building a network and tracing its training step takes longer than training a poor candidate until its rejection.
Therefore the network is kept. For each candidate, its weights are reset to their initial values, and the calls to the
layer's functions in the traced step are redirected to the functions of the new candidate (see `layer_functions` and
`function_exchange`). The results equal those of `training.Training`, apart from float32 rounding: TensorFlow
optimizes the two graphs differently and may sum in another order.
"""

import collections
from collections.abc import Callable
import functools
import gc

import tensorflow as tf
import tf_keras

from evonorm_tf.devices.memory import resident_bytes
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.norm_act import NormActFactory
from search.evaluation.architecture import Architecture
from search.evaluation.function_exchange import can_exchange_functions
from search.evaluation.function_exchange import ExchangeableFunction
from search.evaluation.function_exchange import ExchangedFunction
from search.evaluation.layer_functions import ExchangeableLayer
from search.evaluation.layer_functions import LayerFunctions
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.training import Network
from search.evaluation.training import timed
from search.evaluation.training import Training

MAX_BYTES = 300_000_000  # of the networks that a process keeps and no training uses
_OPTIONS = {'graph', 'groups', 'synchronized', 'jit_compile'}  # of a layer graph that a kept network can run; no core
_LEAST_BYTES = 40_000_000  # of a network, whose memory may have come from what was free already

_idle: collections.OrderedDict[str, '_KeptNetwork'] = collections.OrderedDict()  # the most recently used one last


def start_training(task: ProxyTask, architecture: Architecture, norm_act: Callable[..., tf_keras.layers.Layer],
                   seconds: dict[str, float]) -> Training:
  """Returns the training of a layer, in a network that this process keeps if possible, and otherwise in a new network.

  A network is kept if the layer is a layer graph, the task runs on one device, and the installed TensorFlow can
  exchange functions.

  Args:
    task: the proxy task.
    architecture: one of the task's architectures.
    norm_act: returns a new norm-activation layer.
    seconds: a dictionary to which the time spent is added, in seconds, under 'build', 'trace', 'train' and 'evaluate'.

  Returns:
    A `ReusedTraining` or a `Training`. Its `close` ends it and releases the network.
  """
  is_graph = isinstance(norm_act, NormActFactory) and norm_act.layer_class is GraphLayer
  if (is_graph and task.strategy == 'one_device' and set(norm_act.options) <= _OPTIONS
      and can_exchange_functions()):
    return ReusedTraining(task, architecture, norm_act, seconds)
  return Training(task, architecture, norm_act, seconds)


def idle_networks() -> list['_KeptNetwork']:
  """Returns the networks that this process keeps and no training uses; each has its memory as `bytes`."""
  return list(_idle.values())


class ReusedTraining(Training):
  """The training of a layer graph in a network that the process keeps; other trainings may use it after `close`.

  Args:
    task: the proxy task, with the strategy 'one_device'.
    architecture: one of the task's architectures.
    norm_act: the layer's factory, a `NormActFactory` of `GraphLayer` with the options `graph`, `groups`,
      `synchronized` and `jit_compile` at most; the last is ignored.
    seconds: a dictionary to which the time spent is added, in seconds, under 'build', 'trace', 'train' and 'evaluate'.

  Attributes:
    model: the Keras model.
    steps_done: the number of training steps so far.
  """

  def close(self) -> None:
    """Ends the training and releases the network for others; beyond `MAX_BYTES`, drops the least recently used."""
    if self._kept:
      _idle[self._key] = self._kept
      while sum(kept.bytes for kept in _idle.values()) > MAX_BYTES:
        _idle.popitem(last=False)
    self._kept = None

  def train(self, steps: int) -> float:
    """Trains for a further number of steps; see `Training.train`."""
    try:
      return super().train(steps)
    finally:
      self._kept.measure()

  def _make_network(self, architecture: Architecture, norm_act: NormActFactory) -> '_ExchangedNetwork':
    functions = _layer_functions(norm_act)
    self._key = repr((self._task.key, architecture.key, norm_act.options.get('groups'), functions.signature))
    self._kept = _idle.pop(self._key, None) or _KeptNetwork(self._task, architecture, norm_act)
    self._kept.reset()
    self._kept.use(functions)
    return _ExchangedNetwork(self._kept, functions, self._seconds)


class _KeptNetwork:
  """A network whose traced functions can be copied with the functions of another layer.

  Attributes:
    model: the Keras model.
    train_steps: the traced `Network.train_steps`, in which the layer's functions can be exchanged.
    count_correct: the traced `Network.count_correct`, in which they can be exchanged, too.
    keys: the layer's functions that these may call: by name, the key (kind, shape) in `LayerFunctions`.
    bytes: the memory that the network took until it had been trained once; 0 before.
  """

  def __init__(self, task: ProxyTask, architecture: Architecture, norm_act: NormActFactory):
    self.bytes, self._bytes_before = 0, resident_bytes()
    functions = _layer_functions(norm_act)
    make_layer = functools.partial(ExchangeableLayer, functions, **norm_act.options)
    with functions.only_shapes():  # Keras needs only the shapes to build the network
      network = Network(task, architecture, make_layer)
    images = tf.TensorSpec([None, *task.image_shape])
    traced = (
        network.train_steps.get_concrete_function(iter(task.training_batches()), tf.constant(1)),
        network.count_correct.get_concrete_function(images, tf.TensorSpec([None], tf.int64)))
    self.model = network.model
    self.keys = functions.names
    self.train_steps, self.count_correct = (ExchangeableFunction(f, self.keys) for f in traced)
    self._layers = [layer for layer in network.model._flatten_layers() if isinstance(layer, ExchangeableLayer)]  # noqa: SLF001
    self._variables = [*network.model.weights, *network.optimizer.variables()]
    self._initial = [v.numpy() for v in self._variables]
    # Garbage collection after each candidate would otherwise scan all objects of TensorFlow and of all kept networks.
    gc.unfreeze()
    gc.collect()
    gc.freeze()

  def use(self, functions: LayerFunctions) -> None:
    """Makes calls of the model itself, outside of its traced functions, run a candidate's layer.

    Args:
      functions: the functions of the candidate's graph.
    """
    for layer in self._layers:
      layer.use(functions)

  def measure(self) -> None:
    """Takes what the process has grown by since before the network's building for the network's memory, once.

    It is called after a training, in which TensorFlow takes several times as much as for the building.
    """
    self.bytes = self.bytes or max(_LEAST_BYTES, resident_bytes() - self._bytes_before)

  def reset(self) -> None:
    """Resets the variables of the network and of its optimizer to their initial values."""
    for variable, initial in zip(self._variables, self._initial, strict=True):
      variable.assign(initial)


class _ExchangedNetwork:
  """A kept network with the functions of one candidate's layer; it has the attributes of `Network` that training uses.

  Each function is exchanged at its first use, because most candidates are rejected by their training loss and never
  need `count_correct`.
  """

  def __init__(self, kept: _KeptNetwork, functions: LayerFunctions, seconds: dict[str, float]):
    self.model = kept.model
    self._kept = kept
    self._functions = functions
    self._seconds = seconds

  @functools.cached_property
  def train_steps(self) -> ExchangedFunction:
    return self._exchanged(self._kept.train_steps)

  @functools.cached_property
  def count_correct(self) -> ExchangedFunction:
    return self._exchanged(self._kept.count_correct)

  def _exchanged(self, function: ExchangeableFunction) -> ExchangedFunction:
    with timed(self._seconds, 'trace'):
      return function.exchange({slot: self._functions.name(self._kept.keys[slot]) for slot in function.slots})


def _layer_functions(norm_act: NormActFactory) -> LayerFunctions:
  return LayerFunctions(**{name: value for name, value in norm_act.options.items() if name in ('graph', 'groups')})
