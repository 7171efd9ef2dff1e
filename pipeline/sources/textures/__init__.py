"""Grey textures: the embedded ones and a user's folder."""
