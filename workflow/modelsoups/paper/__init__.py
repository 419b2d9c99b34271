"""The paper's tables and figures, their captions and claims."""
