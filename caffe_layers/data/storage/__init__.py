"""What lies on the disk: LMDB and LevelDB, read without Caffe, and written; image files; lists."""
