"""The pages of the practice site that a person sees."""
