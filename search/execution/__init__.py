"""The execution of evaluations in this process, in worker processes or on Ray, with retries and handling of Ctrl-C."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.execution.deferred_interrupts import interrupted_at_once as interrupted_at_once
  from search.execution.deferred_interrupts import interrupts_noted as interrupts_noted
  from search.execution.deferred_interrupts import raise_if_interrupted as raise_if_interrupted
  from search.execution.executors import Executor as Executor
  from search.execution.executors import InProcess as InProcess
  from search.execution.executors import make_executor as make_executor
  from search.execution.executors import WorkerDied as WorkerDied
  from search.execution.executors import WorkerProcesses as WorkerProcesses
  from search.execution.ray_executor import RayExecutor as RayExecutor
  from search.execution.retries import Retrying as Retrying
  from search.execution.retries import WorkersCannotStart as WorkersCannotStart

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'deferred_interrupts': ('interrupted_at_once', 'interrupts_noted', 'raise_if_interrupted'),
    'executors': ('Executor', 'InProcess', 'WorkerDied', 'WorkerProcesses', 'make_executor'),
    'ray_executor': ('RayExecutor',),
    'retries': ('Retrying', 'WorkersCannotStart'),
})
