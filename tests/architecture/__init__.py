"""What must hold of the project as a whole: its packaging and its documents."""
