"""Encoders, teachers and students: training, distilling, compressing, exporting."""
