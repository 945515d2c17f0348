select nothing yet
