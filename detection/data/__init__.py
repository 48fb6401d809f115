"""COCO and generated images as TFRecords."""
