"""Tables, chart style and progress, shared by every report."""
