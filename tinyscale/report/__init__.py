"""What a study found: pictures, one self-contained page, tables for the terminal."""
