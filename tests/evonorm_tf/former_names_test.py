"""What modules were called in version 0.1: importing, running and binding the former names still works, and warns."""

import importlib
import json
import os
import pathlib
import runpy
import subprocess
import sys

import pytest

from evonorm_tf.former_names import FORMER_MODULES
from evonorm_tf.former_names import present_binding
from evonorm_tf.former_names import without_modules

ROOT = pathlib.Path(__file__).parents[2]
# Imports all former names, twice, in a process of its own, which has not warned yet.
IMPORT_ALL = """
import importlib, json, sys, warnings
from evonorm_tf.former_names import FORMER_MODULES
found = {}
for former, present in FORMER_MODULES.items():
  with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter('always')
    is_same = [importlib.import_module(former) is importlib.import_module(present) for _ in range(2)]
  told = [str(w.message) for w in seen if w.category is FutureWarning and str(w.message).startswith(former + ' is now')]
  found[former] = [all(is_same), told]
print(json.dumps(found))
"""
# What the README and the files in gin/ of version 0.1 named.
NAMES = {
    'evonorm_tf': """
        keras3.EvoNormS0 keras3.get_norm_act backbones.EfficientNet backbones.MnasNetB1 backbones.MobileNetV2
        backbones.ResNet batch_size_sweep.run_sweep classification.run_classification classification_data.Cifar10
        imagenet.ImageNet optimization.Optimization""",
    'detection': """
        mask_rcnn.run_mask_rcnn models.PreActivationResNetFpn models.ResNetFpn models.SpineNet training_data.CocoData
        training_data.ShapesData""",
    'gan': """
        adversarial_optimizer.Adams adversarial_step.StepSettings adversarial_training.run_gan data.Cifar10
        data.ImageNet losses.hinge metrics.Protocol networks.BigGAN conditional.ConditionalNormAct""",
    'search': """
        architecture.Architecture evaluation.Evaluation evolution.Reranking evolution.run_search proposal.RandomSearch
        proposal.TournamentEvolution proxy_task.ProxyTask random_graph.SearchSpace random_graph.sample_space
        ray_executor.RayExecutor rejection.LossTest rejection.QualityTest rejection.StabilityTest
        tournament.pareto_winner"""}


def run(*command):
  """Runs Python; returns the finished process."""
  environment = os.environ | {'PYTHONWARNINGS': 'default', 'TF_USE_LEGACY_KERAS': '1'}
  return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True,
                        check=False)


@pytest.mark.slow
def test_each_former_module_is_the_present_one_and_warns_once():
  process = run('-c', IMPORT_ALL)
  assert process.returncode == 0, process.stderr
  found = json.loads(process.stdout.splitlines()[-1])
  assert found == {former: [True, [f'{former} is now {present}; the former name goes away with the next release.']]
                   for former, present in FORMER_MODULES.items()}


@pytest.mark.filterwarnings('ignore::FutureWarning')
@pytest.mark.parametrize('name, present', [
    ('evonorm_tf.scaling.check_rate', 'evonorm_tf.checks'), ('evonorm_tf.arguments.check_choices', 'evonorm_tf.checks'),
    ('evonorm_tf.replacement.function_name', 'evonorm_tf.conversion.activations'),
    ('evonorm_tf.model_graph.is_graph', 'evonorm_tf.conversion.keras_internals'),
    ('search.records.STAGES', 'search.journal.outcomes')])
def test_names_that_left_their_module_are_there(monkeypatch, name, present):
  module, _, attribute = name.rpartition('.')
  monkeypatch.delitem(sys.modules, module, raising=False)
  assert getattr(importlib.import_module(module), attribute) is getattr(importlib.import_module(present), attribute)


@pytest.mark.filterwarnings('ignore::FutureWarning')
@pytest.mark.parametrize('name', [f'{package}.{name}' for package, names in NAMES.items() for name in names.split()])
def test_what_the_documents_named_is_there(name):
  module, _, attribute = name.rpartition('.')
  assert callable(getattr(importlib.import_module(module), attribute))


def test_a_program_is_found_by_its_former_name(monkeypatch):
  monkeypatch.delitem(sys.modules, 'evonorm_tf.cifar10_subset', raising=False)
  with pytest.warns(FutureWarning, match='is now evonorm_tf.data.draw_cifar10_subset') as seen:
    *_, code = runpy._get_module_details('evonorm_tf.cifar10_subset')  # as `python -m` does
  assert pathlib.Path(code.co_filename) == ROOT / 'evonorm_tf' / 'data' / 'draw_cifar10_subset.py'
  assert len(seen) == 1


@pytest.mark.slow
def test_a_program_runs_by_its_former_name():
  process = run('-m', 'evonorm_tf.cifar10_subset', '--help')
  assert '--train_images' in process.stdout and process.stderr.count('is now evonorm_tf.data.draw_cifar10_subset') == 1


@pytest.mark.parametrize('former, present', [
    ('mask_rcnn.run_mask_rcnn.batch_size=2', 'trainer.run_mask_rcnn.batch_size=2'),
    ('search.proxy_task.ProxyTask.steps = 3', 'search.evaluation.proxy_task.ProxyTask.steps = 3'),
    ('a/training_data.ShapesData.seed = 1', 'a/sources.ShapesData.seed = 1'),
    ('trainer.run_mask_rcnn.data = @training_data.CocoData()', 'trainer.run_mask_rcnn.data = @sources.CocoData()'),
    ('x.Y.f = {"k": @b/gan.losses.hinge, "l": %M}', 'x.Y.f = {"k": @b/gan.losses.hinge, "l": %M}'),
    ('gan.adversarial_step.StepSettings.d_steps=2', 'gan.training.step.StepSettings.d_steps=2')])
def test_bindings_are_translated(former, present, recwarn):
  assert present_binding(former) == present
  assert len(recwarn) == (former != present) and all(w.category is FutureWarning for w in recwarn)


@pytest.mark.parametrize('binding', [
    'run_gan.steps = 2', 'evolution.run_search.candidates = 3', "NORM_ACT = 'mask_rcnn.Layer'",
    'ShapesData.folder = "runs/training_data.Old"', 'proxy_task.ProxyTask.steps = 1', 'SIZE = 3'])
def test_other_bindings_stay(binding, recwarn):
  assert present_binding(binding) == binding and not recwarn.list


@pytest.mark.parametrize('binding, expected', [
    ('cifar10.Cifar10.padding', 'Cifar10.padding'), ('@classification.run_classification', '@run_classification'),
    ('x/optimization2.Optimization.learning_rate', 'x/Optimization.learning_rate'), ("'a.B'", "'a.B'"), ('0.2', '0.2'),
    ('(@a.b.C(), @d.E())', '(@C(), @E())')])
def test_bindings_without_modules(binding, expected):
  assert without_modules(binding) == expected
