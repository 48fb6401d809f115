"""What the tensors of a training step are for, by the place of their operations in the step's graph."""

from collections.abc import Callable
from collections.abc import Sequence
import math

import tensorflow as tf
import tf_keras

from benchmarks.measuring.allocations import Allocation
from benchmarks.measuring.allocations import Trace

KINDS = {  # by key, for the table
    'y': 'outputs of norm-acts, kept by convolutions',
    'padded': 'the same, padded for strided convolutions',
    'x': 'inputs of norm-acts',
    'kept': 'what norm-acts keep besides: statistics, masks',
    'early': 'of the backward pass, computed in the forward pass',
    'weight gradient': 'gradients of weights',
    'gradient': 'gradients of activations, and others of the backward pass',
    'temporary': 'temporary buffers of an operation',
    'other': 'others',
}
_PASSED_ON = {'Identity', 'IdentityN', 'Reshape', 'StopGradient'}  # the input's values, or its buffer, go on
_SUMS = {'Add', 'AddN', 'AddV2', 'BiasAdd'}


class TensorKinds:
  """Tells the kind, a key of `KINDS`, of the tensors of a training step.

  Args:
    graph: the graph of the step.
    loss: the loss, a tensor of the graph.
    model: the model, whose layers' names are scopes in the graph.
    is_norm_act: a function of a layer that tells norm-activation layers.
  """

  def __init__(self, graph: tf.Graph, loss: tf.Tensor, model: tf_keras.Model,
               is_norm_act: Callable[[tf_keras.layers.Layer], bool]):
    self._operations = {operation.name: operation for operation in graph.get_operations()}
    self._forward = _ancestors(loss.op)
    self._model = model.name
    self._bytes = {layer.name: 4 * math.prod(layer.output.shape[1:]) for layer in model.layers if is_norm_act(layer)}
    self._kept_outputs = {layer for layer in self._bytes if self._is_output_kept(layer)}

  def bytes_of_activations(self, batch_size: int) -> int:
    """Returns the bytes of all norm-acts' inputs in float32, the unit of activations."""
    return batch_size * sum(self._bytes.values())

  def classify(self, trace: Trace, live: Sequence[Allocation], batch_size: int) -> list[str]:
    """Returns the kind of each allocation.

    Args:
      trace: the trace of a step.
      live: those of its allocations that live at the same time.
      batch_size: the number of images in the step.
    """
    forward_end = max(end for name, end in trace.ends.items()
                      if name.startswith(f'{self._model}/') and self._operations.get(name) in self._forward)
    kinds = [self._kind(allocation, forward_end) for allocation in live]
    last = {}  # the index of each layer's last tensor of full size, which is its output if it lives
    for index, (allocation, kind) in enumerate(zip(live, kinds)):
      layer = self._norm_act(allocation.operation)
      if kind == 'kept' and layer in self._kept_outputs and allocation.bytes == batch_size * self._bytes[layer]:
        last[layer] = index
    for index in last.values():
      kinds[index] = 'y'
    return kinds

  def _kind(self, allocation: Allocation, forward_end: int) -> str:
    operation = self._operations.get(allocation.operation)
    if allocation.is_temporary:
      return 'temporary'
    if operation is None:
      return 'other'
    if operation not in self._forward:
      if allocation.begin < forward_end:
        return 'early'
      return 'weight gradient' if 'BackpropFilter' in operation.type else 'gradient'
    if self._norm_act(operation.name):
      return 'kept'
    if operation.type == 'Pad':
      return 'padded'
    readers = (reader for output in operation.outputs for reader in _readers(output, _PASSED_ON | _SUMS))
    return 'x' if any(reader in self._forward and self._norm_act(reader.name) for reader in readers) else 'other'

  def _norm_act(self, operation: str) -> str | None:
    """Returns the name of the norm-act in whose forward pass an operation is, if any."""
    parts = operation.split('/')
    return parts[1] if len(parts) > 2 and parts[0] == self._model and parts[1] in self._bytes else None

  def _is_output_kept(self, layer: str) -> bool:
    """Returns whether a convolution's or the last layer's backward pass reads this layer's output."""
    outputs = (output for name, operation in self._operations.items() if self._norm_act(name) == layer
               for output in operation.outputs)
    return any('Backprop' in reader.type and reader not in self._forward
               for output in outputs for reader in _readers(output, _PASSED_ON))


def _ancestors(operation: tf.Operation) -> set[tf.Operation]:
  """Returns an operation and all whose values it depends on; a step's loss waits for the update of the weights, too."""
  found, pending = set(), [operation]
  while pending:
    current = pending.pop()
    if current not in found:
      found.add(current)
      pending += [tensor.op for tensor in current.inputs]
  return found


def _readers(tensor: tf.Tensor, passing: set[str]) -> set[tf.Operation]:
  """Returns the operations that read a tensor, also through operations of the types `passing`."""
  found, pending, seen = set(), [tensor], set()
  while pending:
    current = pending.pop()
    for reader in current.consumers():
      found.add(reader)
      if reader.type in passing:
        index = [t is current for t in reader.inputs].index(True) if reader.type == 'IdentityN' else 0
        output = reader.outputs[index]
        if output.name not in seen:
          seen.add(output.name)
          pending.append(output)
  return found
