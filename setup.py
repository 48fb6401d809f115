"""The packages of the distribution; everything else about it is in pyproject.toml.

Packages are found, and the folder gin/ is installed as `evonorm_tf/experiments/`, for `site-packages/gin` belongs to
gin-config. pyproject.toml cannot say both.
"""

from setuptools import find_packages
from setuptools import setup

setup(
    packages=[*find_packages(include=['evonorm_tf*', 'search*', 'detection*', 'gan*']), 'evonorm_tf.experiments'],
    package_dir={'evonorm_tf.experiments': 'gin'},
)
