//! Landfall (chapter to come).
