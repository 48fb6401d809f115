"""Flags, gin files, exit codes and Ctrl-C handling of the command-line programs.

Importing this package does not import TensorFlow.
"""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.cli.interrupt_watch import InterruptWatch as InterruptWatch
  from evonorm_tf.cli.user_errors import errors_as_messages as errors_as_messages

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'interrupt_watch': ('InterruptWatch',),
    'user_errors': ('errors_as_messages',),
})
