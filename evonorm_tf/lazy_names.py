"""Imports of a package's public names only when they are first used, so that `import package` stays cheap.

A package's `__init__.py` lists its names twice: under `TYPE_CHECKING`, for editors and type checkers, and as an
argument to `lazy_names`, for use at run time. `tests/faces_test.py` checks that the two agree.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import importlib
from typing import Any

from evonorm_tf.errors import missing_dependency
from evonorm_tf.errors import MissingDependencyError


def lazy_names(package: str, names: Mapping[str, Iterable[str]]
               ) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
  """Returns `__getattr__`, `__dir__` and `__all__` for a package's `__init__.py` (PEP 562).

  Args:
    package: the package's dotted name, `__name__` in its `__init__.py`.
    names: the public names of each module of the package, by the module's name: {'journal': ['Journal', 'read']}.

  Returns:
    A function that imports a name's module and returns the name's value, or raises AttributeError for an unknown name
    and MissingDependencyError (an ImportError) where a package that it needs is not installed;
    a function that returns the sorted list of public names, so that `dir(package)` shows nothing else; and that list.
  """
  module_of = {name: module for module, its_names in names.items() for name in its_names}

  def getattr_of_package(name: str) -> Any:
    if name not in module_of:
      raise AttributeError(f'module {package!r} has no attribute {name!r}')
    try:
      return getattr(importlib.import_module(f'{package}.{module_of[name]}'), name)
    except MissingDependencyError:
      raise
    except ModuleNotFoundError as error:
      if error.name in ('tensorflow', 'tf_keras'):
        raise MissingDependencyError(f'`{package}.{name}` needs {error.name}, which is not installed; in Keras 3 on '
                                     'JAX or PyTorch use `evonorm_tf.keras3`.') from error
      missing = missing_dependency(error)
      if missing is None:
        raise
      raise missing from error

  names_in_order = sorted(module_of)
  return getattr_of_package, names_in_order.copy, names_in_order
