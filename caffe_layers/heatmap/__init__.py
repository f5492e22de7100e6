"""Maps of keypoints: made from positions, read out as positions, weighted for a loss."""
