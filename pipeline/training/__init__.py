"""Training the encoder: views, loss, schedule, trainer and checkpoint; the encoder before training; calibration of the
classifier of the types; the linear probe.
"""
