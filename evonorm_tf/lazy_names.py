"""Public names of a package that are imported on first use, so that `import package` stays cheap.

A package's `__init__.py` lists its names twice: under `TYPE_CHECKING`, where editors and type checkers look, and for
`lazy_names`, which Python uses. `tests/faces_test.py` compares the two.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import importlib
from typing import Any


def lazy_names(package: str, names: Mapping[str, Iterable[str]]
               ) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
  """Returns `__getattr__`, `__dir__` and `__all__` for the module of a package (PEP 562).

  Args:
    package: its dotted name, `__name__` in its `__init__.py`.
    names: the public names of each module of the package, such as {'journal': ['Journal', 'read']}.
  """
  module_of = {name: module for module, its_names in names.items() for name in its_names}

  def getattr_of_package(name: str) -> Any:
    if name not in module_of:
      raise AttributeError(f'module {package!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{package}.{module_of[name]}'), name)

  def dir_of_package() -> list[str]:
    return sorted({*vars(importlib.import_module(package)), *module_of})

  return getattr_of_package, dir_of_package, sorted(module_of)
