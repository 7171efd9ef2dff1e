"""Methods of training, one file a paper's."""
