"""New files from rows: split, without repetitions, filtered, drawn, mixed, shuffled."""
