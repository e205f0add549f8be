"""What makes the book of its chapters: executing and checking notebooks, the site, the PDF."""
