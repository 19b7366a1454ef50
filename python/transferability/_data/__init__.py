"""Raw data of any kind as items with labels."""
