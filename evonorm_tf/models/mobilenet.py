"""MobileNetV2 with any norm-activation layer (one of the paper's networks).

Reference: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018),
https://arxiv.org/abs/1801.04381, table 2. The published network is BN-ReLU6; here `norm_act` normalizes and activates.
"""

from evonorm_tf.models.inverted_bottleneck import Stage
from evonorm_tf.models.mobile import MobileNetwork

MOBILENET_V2 = MobileNetwork('mobilenet_v2', widens_head=True, stages=(
    Stage(blocks=1, channels=16, stride=1, expansion=1),
    Stage(blocks=2, channels=24, stride=2, expansion=6),
    Stage(blocks=3, channels=32, stride=2, expansion=6),
    Stage(blocks=4, channels=64, stride=2, expansion=6),
    Stage(blocks=3, channels=96, stride=1, expansion=6),
    Stage(blocks=3, channels=160, stride=2, expansion=6),
    Stage(blocks=1, channels=320, stride=1, expansion=6),
))
build_mobilenet_v2_backbone = MOBILENET_V2.build_backbone
build_mobilenet_v2 = MOBILENET_V2.build_model
