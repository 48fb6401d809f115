"""The kernels that a pass of a layer would run on an accelerator, and the bytes they move, from graphs and HLO.

A kernel reads its operands and writes its results once. Nothing is run, and no accelerator is needed.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import math
import re
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2
from tensorflow.python.grappler import cluster
from tensorflow.python.grappler import tf_optimizer

# Operations that launch nothing: arguments, constants, other views of a buffer, and sizes, which the host handles.
_WITHOUT_KERNEL = {'Const', 'ExpandDims', 'Identity', 'NoOp', 'Placeholder', 'Reshape', 'Shape', 'Squeeze',
                   'StopGradient'}
_REDUCTIONS = {'Max', 'Mean', 'Min', 'Prod', 'Sum'}
# The kernels of batch normalization read x (and dy) once for sums and once more for the result.
_PASSES = {'FusedBatchNormV3': 2, 'FusedBatchNormGradV3': 2}
_OFF = rewriter_config_pb2.RewriterConfig.OFF
_FREE_HLO = {'bitcast', 'constant', 'get-tuple-element', 'parameter', 'tuple'}
_INSTRUCTION = re.compile(r'\s*(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\((.*?)\)(?:, |$)')
_HLO_SHAPE = re.compile(r'(\w+?)(\d+)\w*\[([\d,]*)\]|pred\[([\d,]*)\]')


class Counts(NamedTuple):
  """What a pass takes.

  Attributes:
    large: the number of kernels that read or write a tensor with as many elements as x.
    small: the number of other kernels.
    bytes: the bytes read and written.
  """
  large: int
  small: int
  bytes: float

  def __add__(self, other: 'Counts') -> 'Counts':  # type: ignore[override]
    return Counts(*(a + b for a, b in zip(self, other)))


def count_graph(function: Callable, arguments: Sequence[tf.TensorSpec]) -> tuple[Counts, Counts]:
  """Counts a pass that TensorFlow runs operation by operation, and the same with all fused that can be.

  Args:
    function: the pass, which takes tensors and returns a flat sequence of tensors.
    arguments: the specifications of its arguments; the first is x, and all sizes are known.

  Returns:
    The counts of the operations that remain after Grappler, and those of the best fusion: elementwise operations are
    computed anew in whatever reads them, and sums that wait for the same sums run in one kernel. It has no small
    kernels.
  """
  operations, results = _optimized(function, arguments)
  elements = arguments[0].shape.num_elements()
  total = Counts(0, 0, 0.)
  for operation in operations:
    floating = [t for t in (*operation.inputs, *operation.outputs) if t.dtype.is_floating or t.dtype.is_bool]
    if operation.type in _WITHOUT_KERNEL or not floating:
      continue
    passes = _PASSES.get(operation.type, 1)
    moved = passes * sum(map(_bytes, operation.inputs)) + sum(map(_bytes, operation.outputs))
    is_large = any(_is_large(t, elements) for t in floating)
    total += Counts(passes * is_large, passes * (not is_large), moved)
  return total, _best_fusion(operations, results, elements)


def count_hlo(function: Callable, arguments: Sequence[tf.TensorSpec]) -> Counts:
  """Counts the kernels of a pass as XLA compiles it for this machine's CPU; see `count_graph` for the arguments."""
  compiled = tf.function(lambda *tensors: function(*tensors), autograph=False, jit_compile=True)
  text = compiled.experimental_get_compiler_ir(*arguments)(stage='optimized_hlo')
  elements = arguments[0].shape.num_elements()
  tensors: dict[str, list[tuple[int, int]]] = {}  # elements and bytes of the parts of each instruction's result
  total = Counts(0, 0, 0.)
  for line in text[text.index('\nENTRY '):].splitlines()[2:]:
    if not (match := _INSTRUCTION.match(line)):
      continue
    name, shape, kind, operands = match.groups()
    tensors[name] = [_hlo_size(*part) for part in _HLO_SHAPE.findall(shape)]
    if kind in _FREE_HLO:
      continue
    moved = tensors[name] + [part for operand in re.findall(r'%([\w.-]+)', operands) for part in tensors[operand]]
    is_large = any(size >= elements for size, _ in moved)
    total += Counts(is_large, not is_large, sum(size for _, size in moved))
  return total


def _optimized(function, arguments):
  """Returns the operations of a function's graph after Grappler, in order, that its results need, and the results."""
  traced = tf.function(lambda *tensors: function(*tensors), autograph=False).get_concrete_function(*arguments)
  names = [t.name for t in traced.outputs]
  graph = tf.compat.v1.train.export_meta_graph(graph_def=traced.graph.as_graph_def(), graph=traced.graph)
  graph.collection_def['train_op'].node_list.value.extend(names)
  config = tf.compat.v1.ConfigProto()
  config.graph_options.rewrite_options.remapping = _OFF  # it would choose a CPU's kernels, such as one for BN and ReLU
  with tf.Graph().as_default() as optimized:
    tf.import_graph_def(tf_optimizer.OptimizeGraph(config, graph, cluster=_cluster()), name='')
    results = [optimized.get_tensor_by_name(name) for name in names]
  needed, waiting = set(), [t.op for t in results]
  while waiting:
    operation = waiting.pop()
    if operation not in needed:
      needed.add(operation)
      waiting += [t.op for t in operation.inputs]
  return _in_order(needed), results


@functools.cache
def _cluster():
  return cluster.Cluster()


def _in_order(needed):
  """Returns the operations, each behind those that it reads."""
  order, done = [], set()
  while len(order) < len(needed):
    ready = [op for op in needed if op not in done and all(t.op in done for t in op.inputs)]
    order += sorted(ready, key=lambda op: op.name)
    done.update(ready)
  return order


def _best_fusion(operations, results, elements):
  """Returns the counts of the best fusion: one kernel for all large sums of a level, and one for large results."""
  level, sources = {}, {}  # the large sums one after the other that an operation waits for; large arguments it reads
  reads: dict[int, set] = {}
  for operation in operations:
    depth = max((level[t.op] for t in operation.inputs), default=0)
    large = {t for t in operation.inputs if _is_large(t, elements)}
    # A constant is no argument: XLA fuses it.
    sources[operation] = set().union(*({t} if t.op.type == 'Placeholder' else sources[t.op] for t in large))
    is_sum = operation.type in _REDUCTIONS and bool(large) and not _is_large(operation.outputs[0], elements)
    if is_sum:
      reads.setdefault(depth, set()).update(sources[operation])
    level[operation] = depth + is_sum
  large_results = [t for t in results if _is_large(t, elements)]
  moved = [*(t for read in reads.values() for t in read), *large_results,
           *set().union(*(sources[t.op] for t in large_results))]
  return Counts(len(reads) + bool(large_results), 0, sum(map(_bytes, moved)))


def _is_large(tensor, elements):
  return (tensor.shape.num_elements() or 0) >= elements


def _bytes(tensor):
  return (tensor.shape.num_elements() or 0) * tensor.dtype.size


def _hlo_size(_, bits, sizes, boolean_sizes):
  """Returns the number of elements and of bytes of an HLO shape."""
  elements = math.prod(int(size) for size in (sizes or boolean_sizes).split(',') if size)
  return elements, elements * (int(bits) // 8 if bits else 1)
