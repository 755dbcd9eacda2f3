"""From a fitted scikit-learn classifier to a registered model: its columns, its conversion, its evidence."""
