"""Array-likes and labels, validated and converted once."""
