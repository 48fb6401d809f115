"""Training in a network that is built once in a process; each candidate brings only the functions of its layer.

Building a network and tracing its step takes longer than training a poor candidate to its rejection. For each
candidate, the weights are reset to their initial values, and the calls of the layer's functions in the traced step are
redirected to the new candidate's functions. The results are those of `Training`, apart from float32 rounding:
TensorFlow optimizes the two graphs differently and may sum in another order.
"""

import collections
from collections.abc import Callable
import functools
import gc

import tensorflow as tf
import tf_keras

from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.norm_act import NormActFactory
from search.evaluation.architecture import Architecture
from search.evaluation.function_exchange import can_exchange_functions
from search.evaluation.function_exchange import ExchangeableFunction
from search.evaluation.function_exchange import ExchangedFunction
from search.evaluation.layer_functions import ExchangeableLayer
from search.evaluation.layer_functions import LayerFunctions
from search.evaluation.proxy_task import Network
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.proxy_task import timed
from search.evaluation.proxy_task import Training

MAX_NETWORKS = 32  # kept in a process, about 40 MB each at the size of gin/search/quickstart.gin

_idle = collections.OrderedDict()  # key -> _KeptNetwork, the last used last


def start_training(task: ProxyTask, architecture: Architecture, norm_act: Callable[..., tf_keras.layers.Layer],
                   seconds: dict[str, float]) -> Training:
  """Returns a training of a layer: in a network of this process that is kept, if it can be, or in a new one.

  A network can be kept if the layer is a layer graph on one device, and this TensorFlow can exchange functions.
  Arguments: see `Training`.
  """
  is_graph = isinstance(norm_act, NormActFactory) and norm_act.layer_class is GraphLayer
  if (is_graph and task.strategy == 'one_device' and set(norm_act.options) <= {'graph', 'groups', 'synchronized'}
      and can_exchange_functions()):
    return ReusedTraining(task, architecture, norm_act, seconds)
  return Training(task, architecture, norm_act, seconds)


class ReusedTraining(Training):
  """A training in a network that is its own until `close`; another training may use it afterwards.

  Arguments and attributes: see `Training`. The layer must be a layer graph, the strategy one device.
  """

  def close(self) -> None:
    """Lets another training have the network."""
    if self._kept:
      _idle[self._key] = self._kept
      if len(_idle) > MAX_NETWORKS:
        _idle.popitem(last=False)
    self._kept = None

  def _make_network(self, architecture: Architecture, norm_act: NormActFactory) -> '_ExchangedNetwork':
    functions = _layer_functions(norm_act)
    self._key = repr((self._task, architecture, norm_act.options.get('groups'), functions.signature))
    self._kept = _idle.pop(self._key, None) or _KeptNetwork(self._task, architecture, norm_act)
    self._kept.reset()
    return _ExchangedNetwork(self._kept, functions, self._seconds)


class _KeptNetwork:
  """A network and its traced functions, in which calls of the layer's functions can be exchanged.

  Attributes:
    model: the network.
    train_steps, count_correct: those of `Network`.
    keys: the key in `LayerFunctions` of each of the layer's functions that these two may call, by its name.
  """

  def __init__(self, task: ProxyTask, architecture: Architecture, norm_act: NormActFactory):
    functions = _layer_functions(norm_act)
    make_layer = functools.partial(ExchangeableLayer, functions, **norm_act.options)
    with functions.only_shapes():  # all that Keras wants to know of a layer while it connects them
      network = Network(task, architecture, make_layer)
    images = tf.TensorSpec([None, task.image_size, task.image_size, 3])
    train_steps = network.train_steps.get_concrete_function(iter(task.training_batches()), tf.constant(1))
    count_correct = network.count_correct.get_concrete_function(images, tf.TensorSpec([None], tf.int64))
    self.model = network.model
    self.keys = functions.names
    self.train_steps, self.count_correct = (ExchangeableFunction(f, self.keys) for f in (train_steps, count_correct))
    self._variables = [*network.model.weights, *network.optimizer.variables()]
    self._initial = [v.numpy() for v in self._variables]
    # The collection that follows every candidate would otherwise look through all of TensorFlow, and all networks.
    gc.unfreeze()
    gc.collect()
    gc.freeze()

  def reset(self) -> None:
    """Sets the weights and the optimizer back to their initial values."""
    for variable, initial in zip(self._variables, self._initial, strict=True):
      variable.assign(initial)


class _ExchangedNetwork:
  """A kept network with the functions of one candidate's layer; as far as a training needs it, a `Network`.

  A function is exchanged when it is first asked for: most candidates are rejected by their training loss and never
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
