"""What the package is compared with: naive transcriptions of definitions, and recorded values."""
