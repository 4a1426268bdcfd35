"""The processes between the window and the model, and the wire that joins them."""
