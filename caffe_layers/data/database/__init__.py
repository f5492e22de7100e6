"""Databases of records: LMDB and LevelDB, read without Caffe, and written."""
