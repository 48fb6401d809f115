"""SavedModels for inference, without gradients."""

from collections.abc import Callable
from collections.abc import Mapping
import os

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from evonorm_tf.output.model_dir import replacing


def without_gradients(outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Returns the same tensors by name; differentiating them raises a LookupError."""
  message = 'A SavedModel for inference has no gradients. Restore a checkpoint into the model instead.'
  return {name: tf.raw_ops.PreventGradient(input=output, message=message) for name, output in outputs.items()}


def save(module: tf.Module, folder: str, signatures: Mapping[str, Callable]) -> None:
  """Writes a SavedModel without the gradients of `tf.custom_gradient`; loading would warn of each of them.

  Args:
    module: as `tf.saved_model.save` takes it. Its attributes are saved as well; those of a Keras model include the
      functions of all layers.
    folder: receives the SavedModel.
    signatures: functions by name, which return what `without_gradients` returns. Otherwise a
      loaded model would use TensorFlow's gradients for the operations in our layers, which can be wrong where the
      layers' own are right.
  """
  options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
  tf.saved_model.save(module, folder, signatures, options)
  path = os.path.join(folder, 'saved_model.pb')
  saved_model = saved_model_pb2.SavedModel()
  with open(path, 'rb') as file:
    saved_model.ParseFromString(file.read())
  for function in saved_model.meta_graphs[0].graph_def.library.function:
    for node in function.node_def:
      node.attr.pop('_gradient_op_type', None)
  with replacing(path) as temporary:
    temporary.write_bytes(saved_model.SerializeToString())
