"""Training the encoder: views, loss, schedule, trainer and checkpoint; calibration of untrained encoders and of the
classifier of the types; the linear probe.
"""
