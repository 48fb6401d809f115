"""Output of all commands: result folders, Markdown and figures.

Importing this package does not import TensorFlow.
"""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.output.figures import figure_to_png as figure_to_png
  from evonorm_tf.output.figures import new_figure as new_figure
  from evonorm_tf.output.figures import save_figure as save_figure
  from evonorm_tf.output.markdown import one_line as one_line
  from evonorm_tf.output.markdown import table as table
  from evonorm_tf.output.model_dir import check_settings as check_settings
  from evonorm_tf.output.model_dir import lock as lock
  from evonorm_tf.output.model_dir import ModelDirError as ModelDirError
  from evonorm_tf.output.model_dir import replacing as replacing
  from evonorm_tf.output.model_dir import write_json as write_json

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'figures': ('figure_to_png', 'new_figure', 'save_figure'),
    'markdown': ('one_line', 'table'),
    'model_dir': ('ModelDirError', 'check_settings', 'lock', 'replacing', 'write_json'),
})
