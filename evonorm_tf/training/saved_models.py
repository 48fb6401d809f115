"""SavedModels for inference, without gradients."""

import os

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2  # pylint: disable=g-direct-tensorflow-import

from evonorm_tf.output.model_dir import replacing


def without_gradients(outputs: dict) -> dict:
  """Returns the same tensors by name; to differentiate them is a LookupError."""
  message = 'A SavedModel for inference has no gradients. Restore a checkpoint into the model instead.'
  return {name: tf.raw_ops.PreventGradient(input=output, message=message) for name, output in outputs.items()}


def save(module: tf.Module, folder: str, signatures: dict) -> None:
  """Writes a SavedModel without the gradients of `tf.custom_gradient`, of each of which loading would warn.

  Args:
    module: as `tf.saved_model.save` takes it. Its attributes are saved too: of a Keras model, all layers' functions.
    folder: receives the SavedModel.
    signatures: functions by name, which return what `without_gradients` returns. Without that, the gradients of a
      loaded model would be TensorFlow's of what our layers compute, and wrong where theirs are not.
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
