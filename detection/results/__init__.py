"""Detections: COCO evaluation, pictures, export and prediction."""
