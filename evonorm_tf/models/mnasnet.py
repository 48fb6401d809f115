"""MnasNet-B1, the variant without squeeze-and-excite, with any norm-activation layer (one of the paper's networks).

Reference: Tan et al., MnasNet: Platform-Aware Neural Architecture Search for Mobile (2018),
https://arxiv.org/abs/1807.11626; the table of B1 is in the authors' code (tensorflow/tpu
`models/official/mnasnet/mnasnet_models.py`). The published network is BN-ReLU; here `norm_act` normalizes and
activates.
"""

from evonorm_tf.models.inverted_bottleneck import Stage
from evonorm_tf.models.mobile import MobileNetwork

MNASNET_B1 = MobileNetwork('mnasnet_b1', widens_head=False, stages=(
    Stage(blocks=1, channels=16, stride=1, expansion=1, kernel_size=3),
    Stage(blocks=3, channels=24, stride=2, expansion=3, kernel_size=3),
    Stage(blocks=3, channels=40, stride=2, expansion=3, kernel_size=5),
    Stage(blocks=3, channels=80, stride=2, expansion=6, kernel_size=5),
    Stage(blocks=2, channels=96, stride=1, expansion=6, kernel_size=3),
    Stage(blocks=4, channels=192, stride=2, expansion=6, kernel_size=5),
    Stage(blocks=1, channels=320, stride=1, expansion=6, kernel_size=3),
))
build_mnasnet_b1_backbone = MNASNET_B1.build_backbone
build_mnasnet_b1 = MNASNET_B1.build_model
