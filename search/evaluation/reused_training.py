"""Training in a network that a process builds once: of candidate after candidate only the layer's functions change.

Building a network and tracing its step takes longer than training a poor candidate to its rejection. The network's
weights are set back to their initial values, and in the graph of the step, which stays, calls of the layer's functions
by name get the names of the next candidate's. What is computed is what `Training` computes, in float32 up to the
order of sums: TensorFlow optimizes the two graphs in different ways.
"""

import collections
import functools
import gc

import tensorflow as tf

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.norm_act import NormActFactory
from search.evaluation.architecture import Architecture
from search.evaluation.function_exchange import ExchangeableFunction
from search.evaluation.function_exchange import ExchangedFunction
from search.evaluation.layer_functions import ExchangeableLayer
from search.evaluation.layer_functions import LayerFunctions
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.proxy_task import timed
from search.evaluation.proxy_task import Training

MAX_NETWORKS = 32  # kept a process, of some 40 MB at the size of gin/search/quickstart.gin

_idle = collections.OrderedDict()  # key -> _Network, the last used last


def start_training(task: ProxyTask, architecture: Architecture, norm_act, seconds: dict[str, float]) -> Training:
  """Returns a training in a network of this process, or else, unless it is of a layer graph on one device, a new one.

  Arguments: see `Training`.
  """
  is_graph = isinstance(norm_act, NormActFactory) and norm_act.layer_class is GraphLayer
  if is_graph and task.strategy == 'one_device' and set(norm_act.options) <= {'graph', 'groups', 'synchronized'}:
    return ReusedTraining(task, architecture, norm_act, seconds)
  return Training(task, architecture, norm_act, seconds)


class ReusedTraining(Training):
  """One network in training, its own until `close`; another training may use it afterwards.

  Arguments and attributes: see `Training`. The layer must be a layer graph, the strategy one device.
  """

  def __init__(self, task: ProxyTask, architecture: Architecture, norm_act: NormActFactory,
               seconds: dict[str, float]):
    self.steps_done = 0
    self._seconds = seconds
    self._task = task
    self._strategy = get_strategy(task.strategy)
    self._functions = LayerFunctions(norm_act.options['graph'], norm_act.options.get('groups', 32))
    self._key = repr((task, architecture, norm_act.options.get('groups', 32), self._functions.signature))
    with timed(seconds, 'build'):
      self._network = _idle.pop(self._key, None) or _Network(task, architecture, norm_act)
      self._network.reset()
      self.model = self._network.model
      self._batches = iter(task.training_batches())
    with timed(seconds, 'trace'):
      self._train = self._exchanged(self._network.train)
    self._predict = None

  def accuracy(self, split: str) -> float:
    if self._predict is None:  # not before: most candidates are rejected by their training loss
      with timed(self._seconds, 'trace'):
        self._predict = self._exchanged(self._network.predict)
    return super().accuracy(split)

  def close(self) -> None:
    """Lets another training have the network."""
    if self._network:
      _idle[self._key] = self._network
      if len(_idle) > MAX_NETWORKS:
        _idle.popitem(last=False)
    self._network = None

  def _exchanged(self, function: ExchangeableFunction) -> ExchangedFunction:
    """The function, with the layer's functions in the network's places."""
    return function.exchange({slot: self._functions.name(self._network.keys[slot]) for slot in function.slots})


class _Network:
  """A network, its optimizer, and its traced functions.

  Attributes:
    model: the network.
    train, predict: those of `Training`, whose calls of the layer's functions can be exchanged.
    keys: what `LayerFunctions` knows these functions by, for the name of each in `train` or `predict`.
  """

  def __init__(self, task: ProxyTask, architecture: Architecture, norm_act: NormActFactory):
    functions = LayerFunctions(norm_act.options['graph'], norm_act.options.get('groups', 32))
    is_drawn = []
    make = functools.partial(ExchangeableLayer, functions, lambda: bool(is_drawn), **norm_act.options)
    training = Training(task, architecture, make, {})
    is_drawn.append(True)
    images = tf.TensorSpec([None, task.image_size, task.image_size, 3])
    train = training._train.get_concrete_function(training._batches, tf.constant(1))
    predict = training._predict.get_concrete_function(images, tf.TensorSpec([None], tf.int64))
    self.model, self._optimizer = training.model, training._optimizer
    self.keys = functions.names
    self.train, self.predict = (ExchangeableFunction(f, self.keys) for f in (train, predict))
    self._initial = [v.numpy() for v in self._variables()]
    # The collection that follows every candidate would otherwise look through all of TensorFlow, and all networks.
    gc.unfreeze()
    gc.collect()
    gc.freeze()

  def reset(self) -> None:
    """Sets the weights and the optimizer back to where they began."""
    for variable, initial in zip(self._variables(), self._initial, strict=True):
      variable.assign(initial)

  def _variables(self):
    return [*self.model.weights, *self._optimizer.variables()]
