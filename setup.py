"""caffe-layers: Caffe nets, weights and solvers, living on in PyTorch."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
PACKAGES = ("caffe_layers", "converter", "retrain", "pycaffe")


class BuildWithSchema(build_py):
    """Ship proto/*.proto inside the converter package; in a clone they are read from proto/."""

    def run(self) -> None:
        super().run()
        target = Path(self.build_lib, "converter", "proto")
        target.mkdir(parents=True, exist_ok=True)
        for schema in HERE.joinpath("proto").glob("*.proto"):
            shutil.copy(schema, target)


setup(
    name="caffe-layers",
    version="0.1.0",
    description="Load, run and retrain Caffe nets in PyTorch, with Caffe's own numbers",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=[p + suffix for p in PACKAGES for suffix in ("", ".*")]),
    package_data={**{name: ["py.typed"] for name in PACKAGES}, "converter.view": ["page/*"]},
    cmdclass={"build_py": BuildWithSchema},
    install_requires=[
        "torch>=2.4,<3",
        "numpy>=1.26,<3",
        "protobuf>=4.25",
        "onnx>=1.16",
        "onnxscript>=0.3",  # what torch's own ONNX exporter is written in
        "onnx-ir>=0.1",
        "onnxruntime>=1.17",  # no ONNX file is written that it did not run
        "h5py>=3.10",
        "lmdb>=1.4,<4",
        "opencv-python-headless>=4.8,<5",
        "rich>=13",
        "matplotlib>=3.8",
        "safetensors>=0.4",
        "pyyaml>=6",
        "tensorboard>=2.14",
    ],
    extras_require={
        "aggregation": [  # PCGrad, IMTL, Aligned-MTL, UPGrad; the last two libraries are for UPGrad
            "torchjd>=0.8",
            "qpsolvers>=1.0.1",
            "quadprog>=0.1.9,!=0.1.10",
        ],
        "leveldb": ["plyvel>=1.5,<2"],  # to write LevelDBs: reading them needs no library
        "test": [
            "pytest>=8",
            "hypothesis>=6.100",
            "grpcio-tools>=1.60",
            "scikit-learn>=1.4",
            "scipy>=1.11",
            "plyvel>=1.5,<2",
            "torchjd[full]>=0.8",
        ],
        "dev": ["ruff>=0.8", "mypy>=1.13"],
    },
    entry_points={"console_scripts": ["caffe = pycaffe.command:main"]},
    classifiers=["Programming Language :: Python :: 3", "License :: OSI Approved :: MIT License"],
)
