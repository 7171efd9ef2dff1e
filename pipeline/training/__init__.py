"""Training the encoder: views, loss, schedule, trainer and checkpoint; calibration of untrained encoders; the linear
probe.
"""
