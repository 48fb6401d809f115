"""Writing of SavedModels for inference, without gradients."""

from collections.abc import Callable
from collections.abc import Mapping
import os

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from evonorm_tf.output.model_dir import replacing


def without_gradients(outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Returns the same tensors in a form that cannot be differentiated: an attempt raises a LookupError.

  Args:
    outputs: the outputs of a signature by name.
  """
  message = 'A SavedModel for inference has no gradients. Restore a checkpoint into the model instead.'
  return {name: tf.raw_ops.PreventGradient(input=output, message=message) for name, output in outputs.items()}


def save(module: tf.Module, folder: str, signatures: Mapping[str, Callable]) -> None:
  """Writes a SavedModel without the gradients of `tf.custom_gradient`, each of which would cause a warning on loading.

  Args:
    module: the object to save, as in `tf.saved_model.save`. Its attributes are saved as well; if one is a Keras model,
      these include the functions of all its layers.
    folder: the path of the folder that receives the SavedModel.
    signatures: the signatures, tf.functions by name. Their outputs should come from `without_gradients`; otherwise a
      loaded model would silently use TensorFlow's gradients of the individual operations, which can be wrong where the
      layers' own gradients are right.
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
