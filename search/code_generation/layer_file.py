"""A standalone Python file with one tf_keras layer: the text around the statements of a simplified layer graph.

The layer computes what `evonorm_tf.GraphLayer` does with the same graph, and its arguments mean the same. It has only
the weights, arguments and helpers that its equation needs.
"""

import textwrap

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.code_generation.simplification import simplify
from search.code_generation.statements import Statements
from search.code_generation.statements import write_statements
from search.graphs import equation
from search.graphs.equation import equation_text

WIDTH = 120
_NO_BREAK = '\0'  # a blank at which no line ends
_LEGEND = (  # what stands in the equation -> what it means
    ('s[', 's[I](t) is √(variance of t over the index set I + ε)'),
    ('√μ[', '√μ[I](t²) is √(mean of t² over the index set I + ε)'),
    (' μ[', 'μ[I](t) is the mean of t over the index set I'),
    ('ln±', 'ln±(t) is sign(t)·ln|t|'),
    ('√±', '√±(t) is sign(t)·√|t|'),
    ('[b,w,h]', 'b,w,h are the batch and all positions'),
    ('[w,h]', 'w,h are all positions of a sample'),
    ('[w,h,c]', 'w,h,c are all positions and channels of a sample'),
    ('[w,h,c/g]', 'w,h,c/g are all positions of a sample and the channels of one group'),
)
_GUARD_NOTE = ('A divisor, and what a logarithm or root is taken of, has a magnitude of at least GUARD, its sign kept, '
               'unless it cannot be smaller.')

_GUARD = f'''
GUARD = {EPSILON:g}  # keeps values and gradients finite
'''
_GUARDED = '''
def _guarded(t: tf.Tensor) -> tf.Tensor:
  """sign(t)·max(|t|, GUARD), where zero counts as positive."""
  return tf.where(t < 0., tf.minimum(t, -GUARD), tf.maximum(t, GUARD))
'''
_SIGNED = '''
def _signed(function, t: tf.Tensor) -> tf.Tensor:
  """sign(t)·function(max(|t|, GUARD)). At 0 the value and its gradient are 0."""
  return tf.sign(t) * function(tf.maximum(tf.abs(t), GUARD))
'''
_ALIGNED = '''
def _aligned(vector: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
  """[C] or a number as [1, ..., 1, C] or [1, ..., 1], of the rank of x."""
  return tf.reshape(vector, [1] * (x.shape.rank - 1) + [-1])
'''
_VARIANCE = '''
def _variance(t: tf.Tensor, mean) -> tf.Tensor:
  """The biased variance over what the function `mean` averages over."""
  return mean(tf.square(t - mean(t)))
'''
_INSTANCE_MEAN = '''
def _instance_mean(t: tf.Tensor) -> tf.Tensor:
  """The mean over all positions: [N, ..., C] -> [N, 1, ..., 1, C]."""
  return t if t.shape.rank == 2 else tf.reduce_mean(t, range(1, t.shape.rank - 1), keepdims=True)
'''
_LAYER_MEAN = '''
def _layer_mean(t: tf.Tensor) -> tf.Tensor:
  """The mean over all positions and channels: [N, ..., C] -> [N, 1, ..., 1]."""
  return tf.reduce_mean(t, range(1, t.shape.rank), keepdims=True)
'''
_GROUP_MEAN = '''
  def _group_mean(self, t: tf.Tensor) -> tf.Tensor:
    """The mean over all positions and a channel's group: [N, ..., C] -> [N, 1, ..., 1, C]."""
    mean, channels = _instance_mean(t), t.shape[-1]
    groups = next(g for g in range(min(self.groups, channels), 0, -1) if channels % g == 0)
    by_group = tf.reduce_mean(tf.reshape(mean, [-1, groups, channels // groups]), -1)
    return tf.reshape(tf.repeat(by_group, channels // groups, axis=-1), tf.shape(mean))
'''
_TRACKED = '''
  def _tracked(self, batch_average, t: tf.Tensor, moving: tf.Variable, training) -> tf.Tensor:
    """Returns `batch_average(t)` in training, when `moving` follows it; else `moving`."""
    def in_training():
      average = tf.reshape(batch_average(t), moving.shape)
      change = (1. - self.momentum) * (moving - tf.stop_gradient(average))
      # Of a short last batch, tf.distribute gives some replicas no sample.
      moving.assign_sub(change if self.synchronized else tf.where(tf.shape(t)[0] > 0, change, 0.))
      return average

    training = self.trainable and training
    if tf.is_tensor(training):
      average = tf.cond(tf.cast(training, tf.bool), in_training, lambda: tf.identity(moving))
    else:
      average = in_training() if training else tf.identity(moving)
    return tf.reshape(average, [1] * (t.shape.rank - 1) + [-1])

  def _batch_mean(self, t: tf.Tensor) -> tf.Tensor:
    """The mean over batch and positions: [N, ..., C] -> [1, ..., 1, C]; 0 of an empty batch."""
    total = tf.reduce_sum(_instance_mean(t), 0, keepdims=True)
    count = tf.cast(tf.shape(t)[0], t.dtype)
    replicas = tf.distribute.get_replica_context()
    if self.synchronized and replicas is not None and replicas.num_replicas_in_sync > 1:
      total, count = replicas.all_reduce(tf.distribute.ReduceOp.SUM, [total, count])
    return tf.math.divide_no_nan(total, count)
'''
_BATCH_MEAN_SQUARE = '''
  def _batch_mean_square(self, t: tf.Tensor) -> tf.Tensor:
    return self._batch_mean(tf.square(t))
'''
_BATCH_VARIANCE = '''
  def _batch_variance(self, t: tf.Tensor) -> tf.Tensor:
    return _variance(t, self._batch_mean)
'''


class _Layer:
  """The parts of the file that depend on the graph."""

  def __init__(self, graph: LayerGraph, class_name: str):
    self.equation, self.class_name = equation_text(graph), class_name
    assignments = simplify(graph)
    symbols = set().union(*(value.free_symbols for value in assignments.values()))
    self.v0, self.v1 = equation.V0 in symbols, equation.V1 in symbols
    self.statements: Statements = write_statements(assignments)
    averages = self.statements.averages
    self.has_batch = any(axes == BATCH for axes, _ in averages)
    self.has_groups = any(axes == GROUP for axes, _ in averages)
    self.has_epsilon = 'self.epsilon' in self.statements.code or bool(averages - {(a, 'mean') for a, _ in averages})
    self.has_guard = any(word in self.statements.code for word in ('GUARD', '_guarded(', '_signed('))

  @property
  def options(self) -> dict[str, tuple[str, str]]:
    """By name, the default and the description of the constructor's arguments."""
    options = {}
    if self.has_groups:
      options['groups'] = '32', ('number of channel groups; where it does not divide C, the largest number below that '
                                 'does')
    if self.has_batch:
      options['momentum'] = '0.9', 'decay of the moving averages'
      options['synchronized'] = 'False', 'whether the batch is the global one, over all replicas of a strategy'
    if self.has_epsilon:
      options['epsilon'] = '1e-5', 'ε'
    return options | {'center': ('True', 'whether to add β'), 'scale': ('True', 'whether to multiply by γ')}

  @property
  def checks(self) -> list[str]:
    """Of the arguments."""
    checks = []
    if self.has_groups:
      checks += ['if not isinstance(groups, int) or groups < 1:',
                 "  raise ValueError(f'`groups` must be a positive integer, received {groups!r}.')"]
    if self.has_batch:
      checks += ['if not 0 <= momentum <= 1:',
                 "  raise ValueError(f'`momentum` must lie in [0, 1], received {momentum}.')"]
    if self.has_epsilon:
      checks += [f'if not epsilon >= {EPSILON**2:g}:',
                 f"  raise ValueError(f'`epsilon` must be at least {EPSILON**2:g}, received {{epsilon}}.')"]
    return checks

  @property
  def weights(self) -> list[str]:
    """Statements that make the weights."""
    lines = ["self.gamma = self._add_vector('gamma', channels, 'ones') if self.scale else None",
             "self.beta = self._add_vector('beta', channels, 'zeros') if self.center else None"]
    lines += ["self.v0 = self._add_vector('v0', channels, 'zeros')"] * self.v0
    lines += ["self.v1 = self._add_vector('v1', channels, 'ones')"] * self.v1
    return lines + [f"self.{m.name} = self._add_moving_average('{m.name}', {'channels' if m.has_channels else '1'}, "
                    f"'{m.initializer}')" for m in self.statements.moving_averages]

  @property
  def functions(self) -> list[str]:
    """The module's functions that the layer calls."""
    averages, code = self.statements.averages, self.statements.code
    scopes = {axes for axes, _ in averages}
    return [text for text, is_needed in (
        (_GUARDED, '_guarded(' in code), (_SIGNED, '_signed(' in code), (_ALIGNED, '_aligned(' in code),
        (_VARIANCE, any(average == 'variance' for _, average in averages)),
        (_INSTANCE_MEAN, bool(scopes & {INSTANCE, GROUP, BATCH})), (_LAYER_MEAN, LAYER in scopes)) if is_needed]

  @property
  def methods(self) -> list[str]:
    """The layer's methods that its `call` needs."""
    averages = self.statements.averages
    return [text for text, is_needed in (
        (_GROUP_MEAN, self.has_groups), (_TRACKED, self.has_batch),
        (_BATCH_MEAN_SQUARE, (BATCH, 'mean_square') in averages), (_BATCH_VARIANCE, (BATCH, 'variance') in averages))
            if is_needed]


def write_layer(graph: LayerGraph, class_name: str) -> str:
  """Returns a Python file with one layer, which needs TensorFlow and tf_keras only.

  Args:
    graph: the layer graph.
    class_name: of the layer.
  """
  layer = _Layer(graph, class_name)
  guard = _GUARD if layer.has_guard else ''
  functions = ''.join(f'\n{text}' for text in layer.functions)
  return f'{_HEADER}{guard}{functions}\n\n{_class(layer)}'


_HEADER = '''"""A norm-activation layer that a search found, simplified and written as a Keras layer of its own.

Written by `python -m search.compile_layer`. Needs TensorFlow and tf_keras only.
"""

import tensorflow as tf
import tf_keras
'''


def _class(layer: _Layer) -> str:
  options = layer.options
  parameters = ', '.join(f'{name}={default}' for name, (default, _) in options.items())
  signature = _wrapped(f'def __init__(self, {parameters}, **kwargs):', 2, 15)
  stored = '\n'.join(f'    self.{name} = {name}' for name in options)
  entries = ', '.join(f'{name!r}:{_NO_BREAK}self.{name}' for name in options)
  config = _wrapped(f'return {{**super().get_config(), {entries}}}', 4, 12)
  return f'''@tf_keras.utils.register_keras_serializable(package='found')
class {layer.class_name}(tf_keras.layers.Layer):
{_docstring(layer)}

{signature}
    super().__init__(**kwargs)
{_indented(layer.checks)}{stored}
    self.supports_masking = True

  def build(self, input_shape):
    shape = tf.TensorShape(input_shape)
    if shape.rank is None or not 2 <= shape.rank <= 5 or shape[-1] is None:
      raise ValueError(f'The input must be [N, ..., C] of rank 2 to 5 with C known, received shape {{shape}}.')
    channels = shape[-1]
{_indented(layer.weights)}    self.input_spec = tf_keras.layers.InputSpec(ndim=shape.rank, axes={{-1: channels}})
    super().build(input_shape)

  def call(self, inputs, training=None):
    # Statistics in float16 or bfloat16 would lose most of their digits.
    x = tf.cast(inputs, self._weight_dtype)
{_indented(layer.statements.lines)}    if self.scale:
      y *= self.gamma
    if self.center:
      y += self.beta
    return tf.cast(y, self.compute_dtype)

  def compute_output_shape(self, input_shape):
    return tf.TensorShape(input_shape)

  def get_config(self):
{config}

  @property
  def _weight_dtype(self):
    """float32 also where the layer computes in float16 or bfloat16; float64 where it does."""
    return tf.float64 if self.dtype == 'float64' else tf.float32

  def _add_vector(self, name: str, size: int, initializer: str, **options) -> tf.Variable:
    return self.add_weight(name=name, shape=[size], dtype=self._weight_dtype, initializer=initializer,
                           experimental_autocast=False, **options)
{_ADD_MOVING_AVERAGE if layer.has_batch else ''}{''.join(layer.methods)}'''


_ADD_MOVING_AVERAGE = '''
  def _add_moving_average(self, name: str, size: int, initializer: str) -> tf.Variable:
    """A weight that each replica updates for itself; saved as their mean."""
    return self._add_vector(name, size, initializer, trainable=False, aggregation=tf.VariableAggregation.MEAN,
                            synchronization=tf.VariableSynchronization.ON_READ)
'''


def _docstring(layer: _Layer) -> str:
  """The class's docstring: the equation, what its symbols mean, the arguments."""
  equations = '\n'.join(_wrapped(line, 6, 10) for line in layer.equation.split('\n'))
  symbols = ['x is the input', *(f'{v} is a vector over channels, from {start} on' for v, start, is_used in
                                 (('v0', 0, layer.v0), ('v1', 1, layer.v1)) if is_used)]
  symbols += [text for sign, text in _LEGEND if sign in f' {layer.equation.replace("(", "( ")}']
  notes = ['where\n' + '\n'.join(_wrapped(f'- {symbol}', 2, 4) for symbol in symbols)]
  notes += [_wrapped(_GUARD_NOTE, 2, 2)] * layer.has_guard
  if layer.has_batch:
    notes.append(_wrapped('Averages over the batch are those of the batch in training; in inference, and where the '
                          'layer is frozen by `trainable=False`, moving averages stand in for them.', 2, 2))
  arguments = [_wrapped(f'{name}: {text} (default {default}).', 4, 6)
               for name, (default, text) in layer.options.items()]
  arguments.append('    **kwargs: `name`, `dtype` and `trainable` of the Keras layer.')
  return '\n\n'.join([
      f'  """The norm-activation layer\n\n{equations}', '  ' + notes[0], *notes[1:], '  Args:\n' + '\n'.join(arguments),
      "  Input: [N, ..., C] of rank 2 to 5, channels last, C known.\n"
      "  Output: the input's shape, the layer's compute dtype.\n  \"\"\""])


def _indented(lines: list[str]) -> str:
  return ''.join(f'    {line}\n' for line in lines)


def _wrapped(text: str, indent: int, further: int) -> str:
  """The text in lines of at most `WIDTH`, the first indented by `indent`, the others by `further`."""
  filled = textwrap.fill(text, WIDTH, initial_indent=' ' * indent, subsequent_indent=' ' * further,
                         break_long_words=False, break_on_hyphens=False)
  return filled.replace(_NO_BREAK, ' ')
