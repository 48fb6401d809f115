"""Data for detectors: images and annotations in COCO's format, their conversion to TFRecords, and their sources."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from detection.data.coco_files import make_annotation as make_annotation
  from detection.data.coco_files import Split as Split
  from detection.data.coco_files import write_coco as write_coco
  from detection.data.conversion import convert_coco as convert_coco
  from detection.data.nuclei import write_nuclei as write_nuclei
  from detection.data.prepared import DataInfo as DataInfo
  from detection.data.prepared import read_data_info as read_data_info
  from detection.data.shapes import write_shapes as write_shapes
  from detection.data.sources import CocoData as CocoData
  from detection.data.sources import ShapesData as ShapesData

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'coco_files': ('Split', 'make_annotation', 'write_coco'),
    'conversion': ('convert_coco',),
    'nuclei': ('write_nuclei',),
    'prepared': ('DataInfo', 'read_data_info'),
    'shapes': ('write_shapes',),
    'sources': ('CocoData', 'ShapesData'),
})
