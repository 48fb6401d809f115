"""The tensors that a layer keeps from the forward to the backward pass, counted in a traced step in units of its input.

They are most of the memory that a layer takes in training. The unit is the size of the input x; BN-ReLU keeps two.
"""

import math
from typing import Any

import tensorflow as tf

SHAPE = (128, 16, 16, 64)  # the shape of x in counts; vectors over channels or samples are small beside it


def kept(layer: Any, shape: tuple[int, ...] = SHAPE, dtype: tf.DType = tf.float32) -> float:
  """Returns the size of the tensors that the backward pass of a traced step reads from the forward pass.

  These are the floating-point tensors, x or computed in the forward pass, that operations in the backward pass read.
  Nothing is computed: the step is traced only.

  Args:
    layer: a layer of tf_keras or Keras 3 that has been built.
    shape: the shape of the input x, [N, H, W, C] (default `SHAPE`).
    dtype: the dtype of x (default float32).

  Returns:
    The size as a multiple of the size of x.
  """
  @tf.function(input_signature=[tf.TensorSpec(shape, dtype)] * 2, autograph=False)
  def step(x, dy):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=True)
    forward_operations.update(operation.name for operation in x.graph.get_operations())
    weights = [w if isinstance(w, tf.Variable) else w.value for w in layer.trainable_weights]
    return tape.gradient(y, [x, *weights], output_gradients=dy)

  forward_operations = set()
  graph = step.get_concrete_function().graph
  read = [tensor for operation in graph.get_operations() if operation.name not in forward_operations
          for tensor in operation.inputs if tensor.op.name in forward_operations]
  dy = graph.inputs[1]
  sources = {source.ref() for source in map(_source, read) if source is not dy}
  # The reserve space of fused batch normalization has no shape; on CPUs it is empty.
  bytes_kept = sum((t.deref().shape.num_elements() or 0) * t.deref().dtype.size for t in sources
                   if t.deref().dtype.is_floating)
  return bytes_kept / (math.prod(shape) * dtype.size)


def _source(tensor: tf.Tensor) -> tf.Tensor:
  """Returns the tensor whose buffer `tensor` shares; `tensor` itself if it has its own."""
  while tensor.op.type in ('Identity', 'IdentityN', 'Reshape', 'StopGradient'):
    tensor = tensor.op.inputs[tensor.value_index]
  return tensor
