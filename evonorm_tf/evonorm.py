"""The six EvoNorm layers of tf_keras; their bodies, equations and arguments are in `evonorm_bodies`."""

import tf_keras

from evonorm_tf import evonorm_bodies
from evonorm_tf.norm_act_layer import NormActLayer


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB0(evonorm_bodies.B0, NormActLayer):
  __doc__ = evonorm_bodies.B0.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB1(evonorm_bodies.B1, NormActLayer):
  __doc__ = evonorm_bodies.B1.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB2(evonorm_bodies.B2, NormActLayer):
  __doc__ = evonorm_bodies.B2.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS0(evonorm_bodies.S0, NormActLayer):
  __doc__ = evonorm_bodies.S0.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS1(evonorm_bodies.S1, NormActLayer):
  __doc__ = evonorm_bodies.S1.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS2(evonorm_bodies.S2, NormActLayer):
  __doc__ = evonorm_bodies.S2.__doc__
