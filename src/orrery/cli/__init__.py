"""The command ``orrery``: one file per noun, loaded when it is used."""
