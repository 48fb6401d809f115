"""The two kinds of files that `layer_file` writes: for tf_keras, and for Keras 3 on any backend.

The template of layers names operations as `keras.ops` does, and so do the functions of this package that are copied. A
file for Keras 3 has them as they are; in one for tf_keras, TensorFlow's own names take their place.
"""

import dataclasses
import functools
import importlib
import pathlib
import re
import types

from evonorm_tf import engines


def tensorflow_name(operation: str) -> str:
  """Returns the name by which a file for tf_keras calls an operation of `keras.ops`, such as 'tf.math.log'.

  Args:
    operation: its name in `keras.ops`, such as 'log', or 'constant'; that of a function of the file itself is returned
      as it is.
  """
  return _tensorflow_names().get(operation, operation)


@functools.cache
def _tensorflow_names() -> dict[str, str]:
  """Returns TensorFlow's own name of each operation that `tensorflow_ops` takes over, which need not be imported."""
  source = pathlib.Path(engines.__file__).with_name('tensorflow_ops.py').read_text()
  return dict(re.findall(r'^(\w+) = (tf\.[\w.]+)$', source, flags=re.MULTILINE)) | {
      'constant': 'tf.constant', 'first_maximum': 'tf.maximum'}  # whose gradient goes to the first of equal arguments


@dataclasses.dataclass(frozen=True)
class Target:
  """What distinguishes the files for one Keras.

  Attributes:
    package: the name of the Keras package.
    needs: what the file needs, in words.
    imports: the import statements of the file.
    register: the decorator by which Keras finds the class in saved models.
    tensor_type: the type hint of tensors.
    hint_names: the names of modules that type hints may use; other hints than of these and of Python are left out.
    functions: the names in `keras.ops` style of functions that the file defines itself, as `module` does.
  """
  package: str
  needs: str
  imports: str
  register: str
  tensor_type: str
  hint_names: tuple[str, ...]
  functions: tuple[str, ...] = ('axes_size', 'sum_samples', 'sum_over_replicas')

  @property
  def module(self) -> types.ModuleType:
    """The module with the template of this Keras, the class `Template`, and with `functions`."""
    return importlib.import_module(f'search.code_generation.{self.package}_template')

  def name_of(self, operation: str) -> str:
    """Returns the name by which the file calls an operation, by its name in `keras.ops`, or for 'constant'."""
    if operation in self.functions:
      return operation
    if self.package == 'tf_keras':
      return tensorflow_name(operation)
    return 'ops.convert_to_tensor' if operation == 'constant' else f'ops.{operation}'


TF_KERAS = Target(
    'tf_keras', 'TensorFlow and tf_keras only', 'import tensorflow as tf\nimport tf_keras',
    'tf_keras.utils.register_keras_serializable', 'tf.Tensor', ('tf',))
KERAS_3 = Target(
    'keras', 'Keras 3 and its backend only', 'import keras\nfrom keras import ops',
    'keras.saving.register_keras_serializable', 'Tensor', ('keras',),
    ('axes_size', 'sum_samples', 'sum_over_replicas', 'as_divisor', 'cond', 'first_maximum'))
TARGETS = {2: TF_KERAS, 3: KERAS_3}  # by the major version of Keras
