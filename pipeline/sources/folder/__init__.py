"""A user's folder of images as a set: Danbooru or any other."""
