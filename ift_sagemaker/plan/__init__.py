"""Pure: what is asked for becomes the exact uploads and requests. Nothing here touches a network."""
