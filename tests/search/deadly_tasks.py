"""Tasks that kill their worker a number of times, and count their tries in a file. Workers import nothing heavy."""

import os
import pathlib
import signal
import time

DEATHS = (lambda: os._exit(1), lambda: signal.raise_signal(signal.SIGKILL), lambda: signal.raise_signal(signal.SIGSEGV))


def work(folder, number, deaths):
  """Returns ten times its number, in the try that it survives."""
  with open(pathlib.Path(folder) / str(number), 'a', encoding='ascii') as file:
    file.write(f'{os.getpid()}\n')
  if len(pids(folder, number)) <= deaths:
    DEATHS[number % len(DEATHS)]()
  return 10 * number


def pids(folder, number):
  """The processes that have tried a task, in their order."""
  return [int(line) for line in (pathlib.Path(folder) / str(number)).read_text(encoding='ascii').split()]


def wait(folder, number):
  """Notes a try, and returns ten times its number once the folder holds a file 'go'."""
  with open(pathlib.Path(folder) / f'tries {number}', 'a', encoding='ascii') as file:
    file.write('.')
  while not (pathlib.Path(folder) / 'go').exists():
    time.sleep(.1)
  return 10 * number


def tries(folder, number):
  """The tries of a task that waits, a point for each."""
  path = pathlib.Path(folder) / f'tries {number}'
  return path.read_text(encoding='ascii') if path.exists() else ''


def run_all(retrying, folder, deaths):
  """Gives a `Retrying` a task for each of `deaths`; returns the results by number, none twice."""
  results, waiting = {}, list(enumerate(deaths))
  while len(results) < len(deaths):
    while waiting and retrying.free:
      number, times = waiting.pop(0)
      retrying.submit(f'task {number}', work, folder, number, times)
    for key, result in retrying.next_results():
      assert key not in results
      results[key] = result
  return {int(key.split()[1]): result for key, result in results.items()}
