"""The six EvoNorm layers of tf_keras; their bodies, equations and arguments are in `evonorm`."""

import tf_keras

from evonorm_tf.layers import evonorm
from evonorm_tf.layers.keras2_norm_act_layer import NormActLayer


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB0(evonorm.B0, NormActLayer):
  __doc__ = evonorm.B0.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB1(evonorm.B1, NormActLayer):
  __doc__ = evonorm.B1.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB2(evonorm.B2, NormActLayer):
  __doc__ = evonorm.B2.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS0(evonorm.S0, NormActLayer):
  __doc__ = evonorm.S0.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS1(evonorm.S1, NormActLayer):
  __doc__ = evonorm.S1.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS2(evonorm.S2, NormActLayer):
  __doc__ = evonorm.S2.__doc__
