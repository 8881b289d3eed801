"""Pictures of what the commands measured, each a matplotlib `Figure` made from the JSON that a command wrote."""
