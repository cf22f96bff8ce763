"""`make lab`: boxes are made, machines are up, the story is told, machines are gone."""
